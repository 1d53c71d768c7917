//! DATA on its way out: streams take turns, a bounded piece each, and credit goes back to where it came from.

use super::core::Core;
use super::links::BackendId;
use super::stream::Turn;
use crate::mux::after;

impl<R> Core<R> {
    /// Fills the client's batch with responses.
    pub(super) fn fill_client(&mut self) {
        // Streams in a row that wait for the connection's window: when all do, nothing can be sent.
        let mut starved = 0;
        // One turn at least: heads of responses, which do not wait for a turn, could fill every batch.
        let full = self.config.write_batch.max(self.client.outbox.len() + 1);
        while starved < self.client.ready.len() && self.client.outbox.len() < full {
            let Some(id) = self.client.ready.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(id).filter(|stream| stream.down.is_ready) else {
                continue;
            };
            let turn = stream.down.take_turn(id, &mut self.client, self.config.quantum, None);
            let sent = match turn {
                Turn::Starved => {
                    starved += 1;
                    self.client.ready.push_back(id);
                    0
                }
                Turn::Idle => {
                    stream.down.is_ready = false;
                    0
                }
                Turn::Sent(count) => {
                    self.client.ready.push_back(id);
                    count
                }
                Turn::Ended(count) => {
                    stream.down.is_ready = false;
                    count
                }
            };
            if sent > 0 {
                starved = 0;
                stream.down.blocked_since = None;
                let link = stream.link;
                let increment = stream.down.credit(sent, self.config.stream_window);
                if let Some(link) = self.links.iter_mut().find(|candidate| Some(candidate.id) == link) {
                    link.peer.credit(sent);
                    if let Some(increment) = increment {
                        link.peer.put_window_update(id, increment);
                    }
                }
            } else if !stream.down.queue.is_empty() && stream.down.blocked_since.is_none() {
                stream.down.blocked_since = Some(self.now);
                let check = after(self.now, self.config.stall_deadline);
                self.stall_check.get_or_insert(check);
            }
            if matches!(turn, Turn::Ended(_)) {
                self.settle(id);
            }
        }
    }

    /// Fills a backend's batch with bodies of requests.
    pub(super) fn fill_link(&mut self, link: BackendId) {
        let mut starved = 0;
        loop {
            let Some(link) = self.links.iter_mut().find(|candidate| candidate.id == link) else { return };
            if starved >= link.peer.ready.len() || link.peer.outbox.len() >= self.config.write_batch {
                return;
            }
            let Some(id) = link.peer.ready.pop_front() else { return };
            let stream = self.streams.get_mut(id);
            let is_open = |up_ready: bool, on| up_ready && on == Some(link.id);
            let Some(stream) = stream.filter(|s| s.is_open_at_link && is_open(s.up.is_ready, s.link)) else {
                continue;
            };
            let kept = if stream.is_replayable { Some(&mut stream.kept) } else { None };
            let turn = stream.up.take_turn(id, &mut link.peer, self.config.quantum, kept);
            let sent = match turn {
                Turn::Starved => {
                    starved += 1;
                    link.peer.ready.push_back(id);
                    continue;
                }
                Turn::Idle => {
                    stream.up.is_ready = false;
                    continue;
                }
                Turn::Sent(count) => {
                    link.peer.ready.push_back(id);
                    count
                }
                Turn::Ended(count) => {
                    stream.up.is_ready = false;
                    count
                }
            };
            starved = 0;
            if sent > 0 {
                stream.up.blocked_since = stream.up.blocked_since.map(|_| self.now);
            }
            if let Some(increment) = stream.up.credit(sent, self.config.stream_window) {
                self.client.put_window_update(id, increment);
            }
            if stream.is_replayable {
                self.replay_held += sent;
                let is_too_much = stream.kept.len() > self.config.max_replay
                    || self.replay_held > self.config.max_replay_total;
                if is_too_much {
                    self.give_up_replay(id);
                }
            }
            if matches!(turn, Turn::Ended(_)) {
                self.settle(id);
            }
        }
    }
}
