//! Strict peers on both sides of the mux: whatever the order of greeting, verdict and ACK, and however bytes and time fall, a
//! client and a backend that count every SETTINGS, every ACK and every PING never find anything to complain about.

mod backend;
mod client;
mod wire;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::support::ms;
use crate::support::strategies::greeting_of;
use backend::{Acks, BackendPlan};
use client::{ClientPlan, WaitsFor};
use wire::{Step, World, CLIENT_TO_MUX};

/// What servers announce; the last is x/net's since 0.50.
const ANNOUNCED: [&[(u16, u32)]; 6] = [
    &[],
    &[(3, 128), (4, 65_536)],
    &[(4, 1 << 20), (6, 8_192), (0xfe03, 1)],
    &[(3, 1), (8, 1)],
    &[(8, 0), (1, 0), (5, 65_536)],
    &[(5, 1 << 20), (3, 250), (6, 1_048_896), (4, 1 << 20), (9, 1)],
];

const GREETINGS: [&[(u16, u32)]; 4] =
    [&[(3, 100)], &[], &[(1, 0), (3, 10), (4, 1_000), (5, 16_384), (6, 4_096), (9, 1)], &[(3, 100), (8, 1)]];

fn client() -> impl Strategy<Value = ClientPlan> {
    let waits = select(vec![WaitsFor::Nothing, WaitsFor::Settings, WaitsFor::SettingsAck, WaitsFor::Pong]);
    (waits, 1..3_usize, 0..4_u8, 0..4_usize, any::<[bool; 3]>()).prop_map(
        |(waits, settings, pings, requests, [is_grpc, acks_late, settings_later])| ClientPlan {
            waits,
            settings,
            pings,
            requests: requests + 1,
            is_grpc,
            acks_late,
            settings_later,
        },
    )
}

fn backend() -> impl Strategy<Value = BackendPlan> {
    let acks = select(vec![Acks::AtOnce, Acks::Merged, Acks::WithTheResponse]);
    (vec(0..ANNOUNCED.len(), 1..3), acks, any::<bool>()).prop_map(|(announced, acks, pings)| BackendPlan {
        // A later SETTINGS may change everything but 0x9 (RFC 9218 §2.1), and never takes 0x8 back (RFC 8441 §3).
        settings: announced
            .iter()
            .enumerate()
            .map(|(i, &n)| {
                ANNOUNCED[n].iter().copied().filter(|(id, _)| i == 0 || !matches!(id, 8 | 9)).collect()
            })
            .collect(),
        acks,
        pings,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4_usize, prop_oneof![1..12_usize, 12..400_usize]).prop_map(|(pipe, n)| Step::Move(pipe, n)),
        2 => select(vec![1_u64, 4, 6, 30]).prop_map(|n| Step::Wait(ms(n))),
        2 => Just(Step::Client),
        1 => Just(Step::Backend),
    ];
    vec(step, 0..60)
}

proptest! {
    /// T-ack-prop, T-set-*: every assertion is made by one of the peers.
    #[test]
    fn no_strict_peer_ever_complains(
        client in client(),
        backend in backend(),
        greeting in 0..GREETINGS.len(),
        steps in steps(),
    ) {
        let mut world = World::new(client, backend, greeting_of(GREETINGS[greeting]));
        for step in &steps {
            world.step(step);
        }
        world.run_to_rest();
        world.assert_content();
    }
}

fn plan(waits: WaitsFor) -> ClientPlan {
    ClientPlan {
        waits,
        settings: 1,
        pings: 1,
        requests: 2,
        is_grpc: true,
        acks_late: false,
        settings_later: true,
    }
}

/// What x/net announces, to whom clients wait for, acknowledged at once: the whole story of the mux, once in plain sight.
#[test]
fn the_scene_that_must_work() {
    for waits in [WaitsFor::Nothing, WaitsFor::Settings, WaitsFor::SettingsAck, WaitsFor::Pong] {
        for acks in [Acks::AtOnce, Acks::WithTheResponse] {
            let settings = vec![ANNOUNCED[5].to_vec(), vec![(4, 2 << 20)]];
            let backend = BackendPlan { settings, acks, pings: true };
            let mut world = World::new(plan(waits), backend, greeting_of(GREETINGS[0]));
            world.run_to_rest();
            world.assert_content();
            assert_eq!(world.is_greeted(), waits != WaitsFor::Nothing, "{waits:?}");
            assert!(
                world.are_ledgers_settled(),
                "a later SETTINGS of the client is acknowledged by the backend alone"
            );
        }
    }
}

/// The peers must be able to complain: without the ledgers they do, and about the right thing.
#[test]
fn without_ledgers_both_peers_complain() {
    let complaint = |change: fn(&mut World)| {
        let backend = BackendPlan { settings: vec![ANNOUNCED[5].to_vec()], acks: Acks::AtOnce, pings: false };
        let mut world = World::new(plan(WaitsFor::Settings), backend, greeting_of(GREETINGS[0]));
        change(&mut world);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.run_to_rest();
            world.assert_content();
        }));
        let complaint = result.expect_err("nobody complains");
        complaint
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| complaint.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .expect("a message")
    };
    let to_backend = complaint(|world| world.lose_ledger_to_backend = true);
    let to_client = complaint(|world| world.lose_ledger_to_client = true);
    assert!(to_backend.contains("ACK of SETTINGS that were never sent"), "{to_backend}");
    assert!(to_client.contains("0x9 has changed") || to_client.contains("surplus ACK"), "{to_client}");
}

/// A client that is eager is none of the mux's business, however slowly its backend answers.
#[test]
fn an_eager_client_talks_to_its_backend_alone() {
    let backend = BackendPlan { settings: vec![ANNOUNCED[5].to_vec()], acks: Acks::Merged, pings: true };
    let mut world = World::new(plan(WaitsFor::Nothing), backend, greeting_of(GREETINGS[2]));
    world.step(&Step::Move(CLIENT_TO_MUX, usize::MAX));
    world.run_to_rest();
    world.assert_content();
    assert!(!world.is_greeted());
}
