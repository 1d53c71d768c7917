//! The state of a split connection, and the few ways in which a stream, a backend's connection or all of it ends.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::bucket::Bucket;
use super::drain::Drain;
use super::links::{BackendId, Link, Outlets};
use super::peer::{Peer, Role};
use super::stream::{Response, Streams};
use super::{ConnectionEnd, Side, SplitConfig, SplitOutcome};
use crate::facts::Facts;
use crate::mux::after;
use crate::routes::Routes;
use crate::wire::frame::ErrorCode;

/// The most streams for which more are remembered than [`SplitConfig::remembered_resets`] says: they are searched one by one.
const SURELY_REMEMBERED: usize = 16 * 1024;

/// How many times as many streams as the client may have open are held at most: those that it has done with, while their
/// backends have not.
const LINGERING_FACTOR: usize = 2;

/// Trailers of up to this size find a place whatever else is held. A status of gRPC with its message and most details are smaller.
const SMALL_TRAILERS: usize = 4 * 1024;

pub(super) struct Core<R> {
    pub(super) routes: Arc<Routes<R>>,
    pub(super) config: Arc<SplitConfig>,
    pub(super) now: Instant,
    pub(super) started: Instant,
    pub(super) client: Peer,
    /// The highest stream that the client has opened.
    pub(super) last_stream: u32,
    /// Requests that the routes were asked for.
    pub(super) requests: u64,
    /// The client's open streams: those of which it waits for something, or something is waited for.
    pub(super) client_active: u32,
    /// Since when it has no request.
    pub(super) idle_since: Instant,
    pub(super) client_leaves: bool,
    pub(super) streams: Streams,
    pub(super) links: Vec<Link>,
    pub(super) outlets: Outlets<R>,
    next_backend: u32,
    pub(super) facts: Facts,
    pub(super) resets: Bucket,
    own_resets: Bucket,
    /// Streams that the machine has reset towards the client.
    remembered: VecDeque<u32>,
    /// Bytes of the heads of all streams.
    pub(super) held_fields: usize,
    /// Bytes of bodies kept to be sent again.
    pub(super) replay_held: usize,
    pub(super) connects: VecDeque<BackendId>,
    pub(super) closes: VecDeque<(Side, ConnectionEnd)>,
    /// When to look for responses that the client does not take.
    pub(super) stall_check: Option<Instant>,
    pub(super) drain: Option<Drain>,
    pub(super) end: Option<(SplitOutcome, Instant)>,
}

impl<R: Clone + PartialEq> Core<R> {
    pub(super) fn new(routes: Arc<Routes<R>>, config: Arc<SplitConfig>, now: Instant) -> Self {
        let mut client = Peer::new(Role::Client, &config, now);
        client.open(&config);
        Self {
            client,
            outlets: Outlets::new(&routes),
            routes,
            now,
            started: now,
            last_stream: 0,
            requests: 0,
            client_active: 0,
            idle_since: now,
            client_leaves: false,
            streams: Streams::default(),
            links: Vec::new(),
            next_backend: 0,
            facts: Facts::of_request(),
            resets: Bucket::new(config.resets, now),
            own_resets: Bucket::new(config.own_resets, now),
            remembered: VecDeque::new(),
            held_fields: 0,
            replay_held: 0,
            connects: VecDeque::new(),
            closes: VecDeque::new(),
            stall_check: None,
            drain: None,
            end: None,
            config,
        }
    }
}

impl<R> Core<R> {
    /// Time never goes back, whatever the caller says.
    pub(super) fn tick(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    /// How many streams are held at most.
    pub(super) fn most_streams(&self) -> usize {
        (self.config.max_concurrent_streams as usize).saturating_mul(LINGERING_FACTOR)
    }

    pub(super) fn link(&self, id: BackendId) -> Option<&Link> {
        self.links.iter().find(|link| link.id == id)
    }

    pub(super) fn link_mut(&mut self, id: BackendId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.id == id)
    }

    /// Whether backends may add to what is for the client.
    pub(super) fn client_has_room(&self) -> bool {
        self.client.outbox.len() < self.config.output_mark
    }

    pub(super) fn new_link(&mut self, outlet: usize) -> BackendId {
        let id = BackendId(self.next_backend);
        self.next_backend = self.next_backend.wrapping_add(1);
        self.links.push(Link::new(id, outlet, &self.config, self.now));
        if let Some(outlet) = self.outlets.get_mut(outlet) {
            outlet.current = Some(id);
        }
        self.connects.push_back(id);
        id
    }

    /// Tells the client that a stream is over. What it has on the way for it is late, not wrong.
    pub(super) fn end_at_client(&mut self, id: u32, code: ErrorCode) {
        self.client.put_reset(id, code);
        self.remember(id);
    }

    /// As [`end_at_client`](Self::end_at_client), for something that the client did. What backends do is not on its account.
    pub(super) fn reset_client(&mut self, id: u32, code: ErrorCode) {
        self.end_at_client(id, code);
        if code != ErrorCode::NO_ERROR && !self.own_resets.spend(1, self.now) {
            self.fail_client(ErrorCode::ENHANCE_YOUR_CALM);
        }
    }

    /// A stream that is to be ended for what the client did, and without a reset to it: it pays for the one that the backend gets,
    /// as for those that it gets itself (CVE-2025-8671). Says whether it could; else it is told to go.
    pub(super) fn client_pays(&mut self, id: u32) -> bool {
        let is_told = self.streams.get(id).is_some_and(|stream| stream.is_open_at_link);
        if is_told && !self.own_resets.spend(1, self.now) {
            self.fail_client(ErrorCode::ENHANCE_YOUR_CALM);
            return false;
        }
        true
    }

    pub(super) fn remember(&mut self, id: u32) {
        // At least all that one event can end: a backend takes all its streams with it.
        let least = self.most_streams().min(SURELY_REMEMBERED);
        if self.remembered.len() >= self.config.remembered_resets.max(least) {
            self.remembered.pop_front();
        }
        self.remembered.push_back(id);
    }

    pub(super) fn is_remembered(&self, id: u32) -> bool {
        self.remembered.contains(&id)
    }

    /// Tells the backend of a stream that it is over, if it has it.
    pub(super) fn reset_link(&mut self, id: u32, code: ErrorCode) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !std::mem::take(&mut stream.is_open_at_link) {
            return;
        }
        let Some(link) = stream.link else { return };
        if let Some(link) = self.links.iter_mut().find(|candidate| candidate.id == link) {
            link.active = link.active.saturating_sub(1);
            link.peer.put_reset(id, code);
        }
    }

    /// Ends a stream on both sides, because of something that a backend did or did not do.
    pub(super) fn abort(&mut self, id: u32, to_client: ErrorCode, to_backend: ErrorCode) {
        self.reset_link(id, to_backend);
        let Some(stream) = self.streams.get(id) else { return };
        if stream.is_open_at_client {
            self.end_at_client(id, to_client);
        }
        self.forget(id);
    }

    /// Ends a stream on both sides, because of something that the client did.
    pub(super) fn abort_for_client(&mut self, id: u32, code: ErrorCode) {
        self.reset_link(id, ErrorCode::CANCEL);
        let Some(stream) = self.streams.get(id) else { return };
        if stream.is_open_at_client {
            self.reset_client(id, code);
        }
        self.forget(id);
    }

    /// Forgets a stream, and gives back what its data has of windows.
    pub(super) fn forget(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        let fields = stream.head.len() + stream.up.trailers.len() + stream.down.trailers.len();
        self.held_fields = self.held_fields.saturating_sub(fields);
        self.replay_held = self.replay_held.saturating_sub(stream.kept.len());
        if std::mem::take(&mut stream.is_open_at_client) {
            self.client_active = self.client_active.saturating_sub(1);
        }
        let undelivered = stream.down.queue.len();
        let was_open = stream.is_open_at_link;
        if let Some(link) = stream.link {
            if let Some(link) = self.links.iter_mut().find(|candidate| candidate.id == link) {
                link.peer.credit(undelivered);
                if was_open {
                    link.active = link.active.saturating_sub(1);
                } else {
                    link.forget_waiting(id);
                }
            }
        }
        self.streams.remove(id);
        if self.streams.is_empty() {
            self.idle_since = self.now;
        }
    }

    /// Draws the conclusions when one end of a stream has been passed on.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.is_open_at_link && stream.up.is_sent && stream.down.is_ended {
            stream.is_open_at_link = false;
            let link = stream.link;
            if let Some(link) = self.links.iter_mut().find(|candidate| Some(candidate.id) == link) {
                link.active = link.active.saturating_sub(1);
            }
        }
        if !stream.down.is_sent {
            return;
        }
        if stream.up.is_ended && std::mem::take(&mut stream.is_open_at_client) {
            self.client_active = self.client_active.saturating_sub(1);
        }
        if stream.up.is_ended && !stream.up.is_sent {
            // The response is whole. A backend that does not want the rest of the request does not keep the stream for ever.
            stream.up.blocked_since.get_or_insert(self.now);
            let check = after(self.now, self.config.stall_deadline);
            self.stall_check.get_or_insert(check);
        }
        let (is_sent, is_open) = (stream.up.is_sent, stream.is_open_at_client);
        match stream.reset_after {
            Some(code) => {
                if is_open {
                    self.end_at_client(id, code);
                }
                self.forget(id);
            }
            None if is_sent => self.forget(id),
            None => {}
        }
    }

    /// The request will not be sent again.
    pub(super) fn give_up_replay(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        self.held_fields = self.held_fields.saturating_sub(stream.head.len());
        self.replay_held = self.replay_held.saturating_sub(stream.kept.len());
        stream.head.clear();
        stream.kept.clear();
        stream.is_replayable = false;
    }

    /// The connection to a backend is gone. Only its own streams notice.
    pub(super) fn fail_link(&mut self, id: BackendId, how: Option<ConnectionEnd>) {
        let Some(at) = self.links.iter().position(|link| link.id == id) else { return };
        let link = self.links.remove(at);
        // What was not asked for yet is not there to be closed.
        let was_asked_for = !self.connects.contains(&id);
        self.connects.retain(|connect| *connect != id);
        if let Some(how) = how.filter(|_| was_asked_for) {
            self.closes.push_back((Side::Backend(id), how));
        }
        if let Some(outlet) = self.outlets.get_mut(link.outlet) {
            if outlet.current == Some(id) {
                outlet.current = None;
            }
        }
        let had_settings = link.peer.has_settings;
        for stream in self.streams.ids(|stream| stream.link == Some(id)) {
            let Some(state) = self.streams.get_mut(stream) else { continue };
            let is_waiting = link.waiting.binary_search(&stream).is_ok();
            let is_unprocessed = link.last_processed.is_some_and(|last| stream > last);
            state.is_open_at_link = false;
            if state.down.is_ended {
                // The whole response is here and goes on its way; the rest of the request has nowhere to go.
                state.link = None;
                state.up.queue.clear();
                state.up.is_sent = true;
                state.reset_after.get_or_insert(ErrorCode::NO_ERROR);
                self.settle(stream);
            } else if had_settings && (is_waiting || is_unprocessed) {
                state.link = None;
                self.retry(stream, is_waiting);
            } else if !had_settings && state.retries > 0 && state.response == Response::None {
                // The connection that was to take it over never came: nobody has processed it.
                state.link = None;
                self.abort(stream, ErrorCode::REFUSED_STREAM, ErrorCode::CANCEL);
            } else if state.response == Response::Final {
                state.link = None;
                self.abort(stream, ErrorCode::INTERNAL_ERROR, ErrorCode::CANCEL);
            } else {
                state.link = None;
                self.answer(stream, super::answers::Answer::BACKEND_DOWN);
            }
        }
    }

    /// The client has broken the protocol: its connection ends (RFC 9113 §5.4.1).
    pub(super) fn fail_client(&mut self, code: ErrorCode) {
        if self.end.is_none() {
            self.client.put_goaway(self.last_served(), code);
            self.finish(SplitOutcome::Refused(code));
        }
    }

    /// Ends everything; what was said to the client still goes out.
    pub(super) fn finish(&mut self, outcome: SplitOutcome) {
        if self.end.is_some() {
            return;
        }
        self.end = Some((outcome, after(self.now, self.config.linger_deadline)));
        for id in self.streams.ids(|_| true) {
            self.streams.remove(id);
        }
        self.held_fields = 0;
        self.replay_held = 0;
        let not_asked_for = std::mem::take(&mut self.connects);
        for link in self.links.drain(..).filter(|link| !not_asked_for.contains(&link.id)) {
            let how = if link.active > 0 { ConnectionEnd::Cut } else { ConnectionEnd::Clean };
            self.closes.push_back((Side::Backend(link.id), how));
        }
    }

    /// Whether trailers of this length may be held. Small ones always: they are the end of something that is nearly done, and are
    /// not to be lost for requests that have not begun.
    pub(super) fn may_hold_trailers(&self, len: usize) -> bool {
        len <= SMALL_TRAILERS || self.held_fields + len <= self.config.max_held_fields
    }

    /// Bytes of memory held for payload, heads, frames that are not whole and output that was not handed out.
    pub(super) fn buffered(&self) -> usize {
        let streams = self.streams.iter();
        let bodies: usize = streams.map(|stream| stream.up.queue.len() + stream.down.queue.len()).sum();
        let hops: usize = self.links.iter().map(|link| link.peer.held()).sum();
        bodies + hops + self.client.held() + self.held_fields + self.replay_held
    }
}
