//! One request and its response: two flows, and where they stand on either side. A stream has the same id on every
//! connection: ids rise on each of them, as long as requests are opened there in the order of their ids.

use std::time::Instant;

use super::batch::COPIED_BELOW;
use super::fields::Fields;
use super::links::BackendId;
use super::peer::{Peer, MAX_WINDOW};
use super::pieces::Pieces;
use super::reader::DataHead;
use crate::wire::frame::ErrorCode;

/// Body and trailers on their way in one direction.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) queue: Pieces,
    pub(super) trailers: Fields,
    pub(super) has_trailers: bool,
    /// The sender has said END_STREAM.
    pub(super) is_ended: bool,
    /// END_STREAM has been passed on.
    pub(super) is_sent: bool,
    /// The stream stands in the receiver's list of ready streams.
    pub(super) is_ready: bool,
    /// What the sender may still send.
    pub(super) recv_window: i64,
    /// What may still be sent to the receiver; below 0 when it made its windows smaller (RFC 9113 §6.9.2).
    pub(super) send_window: i64,
    uncredited: u32,
    /// Bytes that were credited when they were sent, and are to be sent again.
    credited: usize,
    /// What `content-length` leaves to be sent.
    pub(super) content_left: Option<u64>,
    /// Since when there is something that no window lets pass.
    pub(super) blocked_since: Option<Instant>,
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    /// Nothing to send, or no window of the stream for it.
    Idle,
    /// The connection has no window for it.
    Starved,
    /// This much content was sent; there may be more.
    Sent(usize),
    /// This much content was sent, and the end.
    Ended(usize),
}

impl Flow {
    /// Counts DATA that begins (RFC 9113 §6.9.1, §8.1.1).
    pub(super) fn begin_data(&mut self, head: &DataHead) -> Result<(), ErrorCode> {
        if self.is_ended {
            return Err(ErrorCode::STREAM_CLOSED);
        }
        self.recv_window -= i64::from(head.flow);
        // Below 0 without a fault, when our own SETTINGS have made it smaller; then empty frames may still come.
        if self.recv_window < 0 && head.flow > 0 {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        if let Some(left) = &mut self.content_left {
            *left = left.checked_sub(u64::from(head.content)).ok_or(ErrorCode::PROTOCOL_ERROR)?;
        }
        if head.ends {
            self.check_end()?;
        }
        Ok(())
    }

    /// Whether the content is as long as was announced.
    pub(super) fn check_end(&self) -> Result<(), ErrorCode> {
        match self.content_left {
            None | Some(0) => Ok(()),
            Some(_) => Err(ErrorCode::PROTOCOL_ERROR),
        }
    }

    /// Bytes that count against the sender's window have left; says how much to give back, once that is worth a frame.
    pub(super) fn credit(&mut self, bytes: usize, window: u32) -> Option<u32> {
        let again = bytes.min(self.credited);
        self.credited -= again;
        self.uncredited += (bytes - again) as u32;
        if self.is_ended || self.uncredited == 0 || self.uncredited < window / 2 {
            return None;
        }
        let increment = std::mem::take(&mut self.uncredited);
        self.recv_window += i64::from(increment);
        Some(increment)
    }

    /// More window from the receiver.
    pub(super) fn widen(&mut self, change: i64) -> Result<(), ErrorCode> {
        self.send_window += change;
        if self.send_window > MAX_WINDOW {
            return Err(ErrorCode::FLOW_CONTROL_ERROR);
        }
        Ok(())
    }

    /// Whether there is something to send, windows apart.
    pub(super) fn has_something(&self) -> bool {
        !self.is_sent && (!self.queue.is_empty() || self.is_ended)
    }

    /// Writes at most one DATA frame and, behind the last content, the end. `kept` gets what was sent.
    pub(super) fn take_turn(
        &mut self,
        id: u32,
        to: &mut Peer,
        quantum: usize,
        kept: Option<&mut Pieces>,
    ) -> Turn {
        if self.is_sent {
            return Turn::Idle;
        }
        let window = usize::try_from(self.send_window.min(to.send_window)).unwrap_or(0);
        let count = self.queue.len().min(quantum.max(1)).min(to.max_frame_size).min(window);
        let ends = self.is_ended && count == self.queue.len();
        if count == 0 && !ends {
            return if self.queue.is_empty() || self.send_window <= 0 { Turn::Idle } else { Turn::Starved };
        }
        if count > 0 || !self.has_trailers {
            to.put_data_head(id, count, ends && !self.has_trailers);
            self.pass(count, to, kept);
        }
        self.send_window -= count as i64;
        to.send_window -= count as i64;
        if !ends {
            return Turn::Sent(count);
        }
        if self.has_trailers {
            to.put_head(id, self.trailers.iter(), true);
        }
        self.is_sent = true;
        Turn::Ended(count)
    }

    fn pass(&mut self, mut count: usize, to: &mut Peer, mut kept: Option<&mut Pieces>) {
        if let Some(few) = self.queue.few(count.min(COPIED_BELOW)) {
            to.outbox.frames().extend_from_slice(few);
            if let Some(kept) = kept {
                kept.push_few(few);
            }
            self.queue.clear();
            return;
        }
        while let Some(piece) = self.queue.pop(count) {
            count -= piece.len();
            if let Some(kept) = &mut kept {
                let whole = piece.len();
                kept.push(piece.clone(), whole);
            }
            to.outbox.pass(piece);
        }
    }

    fn clear(&mut self) {
        self.queue.clear();
        let (queue, mut trailers) = (std::mem::take(&mut self.queue), std::mem::take(&mut self.trailers));
        trailers.clear();
        *self = Self { queue, trailers, ..Self::default() };
    }
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Response {
    #[default]
    None,
    /// This many interim responses (1xx), with lists of this size together.
    Interim {
        count: u32,
        size: usize,
    },
    Final,
}

#[derive(Default)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// Where the request leads.
    pub(super) outlet: usize,
    /// The connection that it waits for or was opened on.
    pub(super) link: Option<BackendId>,
    /// Since when it waits for its turn there.
    pub(super) waiting_since: Option<Instant>,
    /// It counts there among the streams that are open.
    pub(super) is_open_at_link: bool,
    /// It counts among the client's open streams.
    pub(super) is_open_at_client: bool,
    pub(super) is_grpc: bool,
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
    pub(super) is_extended_connect: bool,
    pub(super) response: Response,
    pub(super) retries: u8,
    /// The request's head, until it can not be sent again.
    pub(super) head: Fields,
    /// The part of the body that was sent, until it can not be sent again.
    pub(super) kept: Pieces,
    pub(super) is_replayable: bool,
    /// Client to backend.
    pub(super) up: Flow,
    /// Backend to client.
    pub(super) down: Flow,
    /// The backend has reset the stream behind its whole response; the client is told when it has it.
    pub(super) reset_after: Option<ErrorCode>,
}

impl Stream {
    /// Forgets everything and keeps a bounded amount of memory.
    fn clear(&mut self) {
        self.kept.clear();
        self.up.clear();
        self.down.clear();
        self.head.clear();
        let (kept, head) = (std::mem::take(&mut self.kept), std::mem::take(&mut self.head));
        let (up, down) = (std::mem::take(&mut self.up), std::mem::take(&mut self.down));
        *self = Self { kept, head, up, down, ..Self::default() };
    }

    /// Brings the body back to its start.
    pub(super) fn rewind(&mut self) {
        let mut sent = Vec::new();
        while let Some(piece) = self.kept.pop(usize::MAX) {
            self.up.credited += piece.len();
            sent.push(piece);
        }
        for piece in sent.into_iter().rev() {
            self.up.queue.unpop(piece);
        }
        self.up.is_sent = false;
        self.up.is_ready = false;
    }
}

/// Slots that an idle connection keeps.
const KEPT_SLOTS: usize = 4;

/// The streams that are open, found by id without a map: ids only rise, so a sorted list is enough. Slots are used again, with
/// their memory.
#[derive(Default)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    free: Vec<u32>,
    /// Ids and slots, by id.
    index: std::collections::VecDeque<(u32, u32)>,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn slot(&self, id: u32) -> Option<usize> {
        let at = self.index.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.index.get(at).map(|(_, slot)| *slot as usize)
    }

    pub(super) fn get(&self, id: u32) -> Option<&Stream> {
        self.slots.get(self.slot(id)?)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        let slot = self.slot(id)?;
        self.slots.get_mut(slot)
    }

    /// Adds a stream whose id is above all others.
    pub(super) fn insert(&mut self, id: u32) -> &mut Stream {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(Stream::default());
                (self.slots.len() - 1) as u32
            }
        };
        self.index.push_back((id, slot));
        let stream = &mut self.slots[slot as usize];
        stream.id = id;
        stream
    }

    pub(super) fn remove(&mut self, id: u32) {
        if let Ok(at) = self.index.binary_search_by_key(&id, |(id, _)| *id) {
            if let Some((_, slot)) = self.index.remove(at) {
                self.slots[slot as usize].clear();
                self.free.push(slot);
            }
        }
    }

    /// Whether there is more memory for streams than an idle connection should keep.
    pub(super) fn has_spare(&self) -> bool {
        self.slots.len() > KEPT_SLOTS
    }

    /// Without streams: gives memory back that only many at once needed.
    pub(super) fn give_back(&mut self) {
        if self.index.is_empty() {
            self.slots.truncate(KEPT_SLOTS);
            self.slots.shrink_to_fit();
            self.free = (0..self.slots.len() as u32).collect();
            self.index.shrink_to(KEPT_SLOTS);
        }
    }

    /// All streams, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().filter(|stream| stream.id != 0)
    }

    /// Ids of the streams of which this holds, rising.
    pub(super) fn ids(&self, holds: impl Fn(&Stream) -> bool) -> Vec<u32> {
        let streams = self.index.iter().filter_map(|(id, slot)| Some((id, self.slots.get(*slot as usize)?)));
        streams.filter(|(_, stream)| holds(stream)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_gives_its_slots_back() {
        let mut streams = Streams::default();
        for round in 0..3 {
            let ids = (0..100).map(|n| (round * 100 + n) * 2 + 1);
            ids.clone().for_each(|id| streams.insert(id).retries = 7);
            assert_eq!(streams.len(), 100);
            assert!(streams.ids(|_| true).into_iter().eq(ids.clone()));
            ids.clone().skip(1).for_each(|id| streams.remove(id));
            streams.give_back();
            assert!(streams.has_spare() && streams.len() == 1, "not while one is open");
            ids.take(1).for_each(|id| streams.remove(id));
            assert!(streams.is_empty() && streams.iter().next().is_none() && streams.has_spare());
            streams.give_back();
            assert!(!streams.has_spare());
            assert!(streams.slots.capacity() <= KEPT_SLOTS && streams.free.len() == streams.slots.len());
        }
        assert_eq!(streams.insert(999).retries, 0, "as new");
    }
}
