//! From requests to connections of backends: waiting, opening in the order of ids, and again after a backend that did not
//! process them.

use super::answers::Answer;
use super::client::wake;
use super::core::Core;
use super::fields::Fields;
use super::links::{BackendId, LinkState};
use super::stream::Response;
use super::ConnectionEnd;
use crate::mux::after;
use crate::wire::frame::ErrorCode;

impl<R> Core<R> {
    /// Lets a request wait for its backend's connection, which is asked for if there is none.
    ///
    /// Ids must rise on each connection (RFC 9113 §5.1.1): where a later request has been opened, this one has to be tried
    /// again by the client.
    pub(super) fn enqueue(&mut self, id: u32) {
        let now = self.now;
        let Some(stream) = self.streams.get(id) else { return };
        let outlet = stream.outlet;
        let current = self.outlets.get(outlet).and_then(|outlet| outlet.current);
        let link = match current {
            Some(link) => link,
            None => self.new_link(outlet),
        };
        match self.link_mut(link) {
            Some(link) if link.highest < id => {
                link.wait(id, now);
                let link = link.id;
                if let Some(stream) = self.streams.get_mut(id) {
                    stream.link = Some(link);
                    stream.waiting_since.get_or_insert(now);
                }
            }
            _ => self.abort(id, ErrorCode::REFUSED_STREAM, ErrorCode::CANCEL),
        }
    }

    /// Sends a request that its backend did not process to a new connection, if all of it is still held.
    pub(super) fn retry(&mut self, id: u32, was_waiting: bool) {
        let max_retries = self.config.max_retries;
        let Some(stream) = self.streams.get_mut(id) else { return };
        let is_whole = was_waiting || (stream.is_replayable && stream.response == Response::None);
        if !is_whole || stream.retries >= max_retries {
            // A backend that answers and then says that it did not process: nobody knows what it did. What is held of its response
            // is of its windows still, until the stream is forgotten.
            let code = match stream.response {
                Response::Final => ErrorCode::INTERNAL_ERROR,
                _ => ErrorCode::REFUSED_STREAM,
            };
            return self.abort(id, code, ErrorCode::CANCEL);
        }
        stream.link = None;
        stream.retries += 1;
        self.replay_held = self.replay_held.saturating_sub(stream.kept.len());
        stream.rewind();
        self.enqueue(id);
    }

    /// Opens what waits, as far as the backend takes it.
    pub(super) fn dispatch(&mut self, id: BackendId) {
        loop {
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
            if !link.has_room(&self.config) {
                if !link.waiting.is_empty() {
                    let check = after(self.now, self.config.stall_deadline);
                    self.stall_check.get_or_insert(check);
                }
                return;
            }
            let Some(stream) = link.waiting.pop_front() else { return };
            self.open(id, stream);
        }
    }

    fn open(&mut self, link: BackendId, id: u32) {
        let Some(link) = self.links.iter_mut().find(|candidate| candidate.id == link) else { return };
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.is_extended_connect && !link.peer.connect_protocol {
            return self.answer(id, Answer::NO_EXTENDED_CONNECT);
        }
        let most = link.peer.max_header_list;
        let is_too_large = |fields: &Fields| fields.list_size() > most;
        if most < self.config.max_header_list
            && (is_too_large(&stream.head) || is_too_large(&stream.up.trailers))
        {
            return self.answer(id, Answer::TOO_LARGE);
        }
        let is_all = stream.up.is_ended && stream.up.queue.is_empty() && !stream.up.has_trailers;
        link.peer.put_head(id, stream.head.iter(), is_all);
        link.highest = id;
        link.active += 1;
        stream.is_open_at_link = true;
        stream.waiting_since = None;
        stream.up.is_sent = is_all;
        stream.up.send_window = i64::from(link.peer.initial_window);
        stream.down.recv_window = i64::from(link.peer.local_window);
        if stream.up.has_something() {
            wake(&mut link.peer.ready, id, &mut stream.up.is_ready);
        }
    }

    /// The adapter has connected: our preface and SETTINGS go out, and the backend's are waited for.
    pub(super) fn connected(&mut self, id: BackendId) {
        let (config, now) = (&self.config, self.now);
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        if link.state == LinkState::Connecting {
            link.state = LinkState::Opening;
            link.last_input = now;
            link.peer.open(config);
        }
    }

    /// The route of this connection is closed: its requests, and all that follow, are answered so.
    pub(super) fn forbidden(&mut self, id: BackendId) {
        let Some(link) = self.link(id) else { return };
        let outlet = link.outlet;
        if let Some(outlet) = self.outlets.get_mut(outlet) {
            outlet.is_forbidden = true;
        }
        for stream in self.streams.ids(|stream| stream.link == Some(id)) {
            self.answer(stream, Answer::FORBIDDEN);
        }
        self.fail_link(id, None);
    }

    /// Connections that take no more requests and have none are closed, once the last words of those that they had are written.
    pub(super) fn close_drained(&mut self) {
        while let Some(at) = self
            .links
            .iter()
            .position(|link| link.state == LinkState::Draining && link.active == 0 && link.peer.is_written())
        {
            let id = self.links[at].id;
            self.fail_link(id, Some(ConnectionEnd::Clean));
        }
    }
}
