//! What the adapters of `oneport` do on sockets: one suite, run on every runtime.
//!
//! ```text
//!  client (std::net, with timeouts)  --- loopback TCP, Unix, pairs with faults --->  Mux of the runtime's kit
//!  suite (one function per behaviour) <--- Port: routes, outcomes, counters -------  (blocking faces of its types)
//! ```
//!
//! A behaviour is a function of a [`Kit`](kit::Kit), which opens a mux on one runtime and shows it with blocking calls that fail
//! instead of hanging. [`suite!`] lists the behaviours once and instantiates all of them for a runtime; `pub(crate)` functions
//! that are missing there are dead code and warned of. What only one runtime has stands in a module of its own.

mod client;
mod frames;
mod kit;
mod port;
mod suite;
mod talker;
mod tokio_only;
mod tokio_peers;
mod tokio_per_request;

/// How long anything may take that is expected to happen. Long, since the machine may be busy; nothing that works waits for it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Waits until `condition` holds, for what can be asked and not waited for.
#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "still not: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// All behaviours on one runtime, as the tests `adapters::on::RUNTIME::TOPIC::BEHAVIOUR`.
macro_rules! suite {
    ($runtime:ident) => {
        behaviours! { $runtime
            ends: the_clients_fin_is_a_fin, the_servers_fin_is_a_fin, the_clients_reset_is_an_error,
                the_servers_reset_is_an_error, a_reset_of_the_undecided_has_left,
                an_end_at_any_offset_is_what_the_machine_says, bytes_held_back_go_on_at_the_end;
            greeted: recorded_clients_in_every_cut, backends_in_every_cut, the_inner_stream_is_owed_until_all_is_settled,
                an_eager_connection_owes_its_replay_only, vectored_writes_are_the_inner_streams_from_the_first_call,
                a_backend_that_is_not_http2_is_counted, halves_share_the_ledgers, pings_are_answered_and_taken_out,
                every_settings_of_the_client_is_acknowledged_once, a_greeted_client_may_leave, what_a_write_accepted_arrives,
                what_is_left_over_is_pushed_on,
                only_http2_is_greeted;
            listener: errors_of_accept_are_waited_out, a_connection_that_is_gone_makes_no_pause,
                shutdown_is_at_once_and_harms_nobody_routed, shutdown_answers_a_request_that_has_begun,
                shutdown_reaches_who_waits_for_a_place, routes_end_though_a_client_does_not_read, no_outcome_is_lost_at_shutdown, the_longest_silent_goes_first,
                the_longest_idle_goes_first, unix_sockets_are_served, a_stream_from_elsewhere_is_routed,
                a_connection_tells_about_itself, nodelay_is_set;
            openings: recorded_openings_reach_their_routes, reads_and_writes_of_one_byte,
                what_has_come_is_taken_before_the_clock_is_believed, a_slow_client_is_waited_for,
                a_silent_client_is_closed_silently, trickling_does_not_put_off_the_deadline, on_timeout_takes_what_is_undecided,
                server_first_takes_the_silent, a_single_route_for_all_waits_for_nothing, no_deadline_outlives_the_verdict,
                every_http2_phase_ends, a_thousand_silent_clients_are_in_nobodys_way;
            outcomes: each_connection_has_exactly_one, a_hook_that_panics_harms_nobody, counters_can_be_asked_at_any_time;
            per_request: two_routes_share_a_connection, a_share_tells_about_itself, halves_of_a_share,
                an_upload_waits_for_its_server, a_download_waits_for_its_client, bodies_both_ways_at_once,
                a_share_that_hangs_is_alone, a_server_that_stops_reading_is_alone, every_cut_of_the_clients_stream,
                other_protocols_are_routed_as_before, openings_have_their_deadlines, a_stream_from_elsewhere_is_split,
                a_broken_client_gets_a_goaway, each_has_one_end, everybody_is_greeted_at_once;
            refusals: a_refusal_reaches_a_client_that_still_sends, a_head_that_is_too_large_is_answered,
                lingering_ends_after_its_time, lingering_ends_after_its_bytes,
                refusals_in_progress_are_bounded, a_place_among_the_refusals_comes_back, a_refused_client_need_not_read,
                floods_end_at_their_bound, many_openings_share_a_budget,
                an_opening_beyond_the_budget_is_refused, broken_http2_gets_a_goaway;
            routes: a_full_backlog_holds_back_its_route_only, a_place_that_becomes_free_is_taken,
                who_waits_for_a_place_can_be_told_to_go, who_waits_for_a_place_hears_that_its_server_is_gone,
                what_waits_for_a_server_takes_no_room_from_others, a_server_that_hangs_is_alone,
                a_dropped_incoming_refuses_its_own, a_server_can_refuse, no_route_is_answered_at_once,
                one_read_is_all_that_is_taken, who_is_refused_holds_no_place,
                what_follows_the_verdict_waits_in_the_kernel;
            shares: a_dropped_incoming_answers_its_requests, a_full_backlog_answers_at_the_deadline, a_share_can_be_refused,
                a_server_that_goes_takes_only_its_requests, a_server_may_leave_in_words, servers_hear_how_their_client_goes,
                a_client_may_leave_in_words, a_shutdown_drains, a_drain_has_a_deadline, beyond_the_bound_the_idle_go_first,
                beyond_the_bound_the_busy_are_drained, many_clients_come_and_go;
        }
    };
}

macro_rules! behaviours {
    ($runtime:ident $($topic:ident: $($behaviour:ident),+;)+) => {
        mod $runtime {
            $(mod $topic {
                $(#[test]
                fn $behaviour() {
                    crate::adapters::suite::$topic::$behaviour(&crate::adapters::kit::$runtime::Kit);
                })+
            })+
        }
    };
}

/// What only adapters have whose connections are not blocking.
macro_rules! suite_of_tasks {
    ($runtime:ident) => {
        behaviours! { $runtime
            per_request: a_server_elsewhere_is_bridged;
        }
    };
}

mod on {
    suite!(smol);
    suite!(std);
    suite!(tokio);

    mod tasks {
        suite_of_tasks!(smol);
        suite_of_tasks!(tokio);
    }
}
