//! What the client says: requests, their bodies, and the end of them.

use bytes::Bytes;

use super::answers::Answer;
use super::core::Core;
use super::message;
use super::peer::{Event, Fault};
use super::priority;
use super::reader::DataHead;
use super::report::RequestReport;
use super::stream::Response;
use crate::matchers::Opening;
use crate::wire::frame::{ErrorCode, Kind, PREFACE};
use crate::wire::http1::path_of;

impl<R> Core<R> {
    /// Looks at what the client has sent, as long as there is room for what it causes.
    pub(super) fn pump_client(&mut self) {
        while self.end.is_none() && self.client.may_be_read(&self.config) {
            match self.client.next(&self.config, self.now) {
                Ok(Some(event)) => {
                    if let Err(code) = self.take_client(event) {
                        self.fail_client(code);
                    }
                }
                Ok(None) => return,
                Err(code) => self.fail_client(code),
            }
        }
    }

    fn take_client(&mut self, event: Event) -> Result<(), Fault> {
        match event {
            Event::Data(head) => self.client_data(&head),
            Event::Content { stream, bytes, ends } => {
                self.client_content(stream, bytes, ends);
                Ok(())
            }
            Event::GoAway { .. } => {
                self.client_leaves = true;
                Ok(())
            }
            Event::Head { stream, ends } => self.client_head(stream, ends),
            Event::Nothing => Ok(()),
            Event::PingAck(opaque) => {
                self.take_drain_ack(opaque);
                Ok(())
            }
            Event::PriorityUpdate { stream, payload } => {
                self.priority_update(stream, &payload);
                Ok(())
            }
            Event::Reset { stream, code } => self.client_reset(stream, code),
            Event::Settings { window_change } => {
                for stream in self.streams.iter_mut() {
                    stream.down.widen(window_change)?;
                    wake(&mut self.client.ready, stream.id, &mut stream.down.is_ready);
                }
                Ok(())
            }
            Event::SettingsAck { window_change } => {
                self.streams.iter_mut().for_each(|stream| stream.up.recv_window += window_change);
                Ok(())
            }
            Event::Window { stream, increment } => self.client_window(stream, increment),
        }
    }

    /// Whether the client may say something of this stream at all (RFC 9113 §5.1: never of an idle one).
    fn check_known(&self, id: u32) -> Result<(), Fault> {
        if id % 2 == 1 && id <= self.last_stream {
            Ok(())
        } else {
            Err(ErrorCode::PROTOCOL_ERROR)
        }
    }

    fn client_data(&mut self, head: &DataHead) -> Result<(), Fault> {
        let id = head.stream;
        self.check_known(id)?;
        // Given back at once: what is held is bounded by the windows of the streams.
        self.client.credit(head.flow as usize);
        let Some(stream) = self.streams.get_mut(id) else {
            return self.late(id, false);
        };
        match stream.up.begin_data(head) {
            Ok(()) => {
                let padding = (head.flow - head.content) as usize;
                if let Some(increment) = stream.up.credit(padding, self.config.stream_window) {
                    self.client.put_window_update(id, increment);
                }
            }
            Err(code) => self.abort_for_client(id, code),
        }
        Ok(())
    }

    fn client_content(&mut self, id: u32, bytes: Bytes, ends: bool) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.up.is_sent {
            // The backend is gone and its whole response on its way: nobody wants the body.
            if let Some(increment) = stream.up.credit(bytes.len(), self.config.stream_window) {
                self.client.put_window_update(id, increment);
            }
        } else {
            stream.up.queue.push(bytes, self.client.whole_input);
        }
        if ends {
            stream.up.is_ended = true;
        }
        self.wake_up(id);
        if ends {
            self.settle(id);
        }
    }

    /// A frame of a stream that is gone: late if the machine has reset it, else an error.
    fn late(&mut self, id: u32, is_head: bool) -> Result<(), Fault> {
        let is_above_drain = self.drain.as_ref().and_then(|drain| drain.last).is_some_and(|last| id > last);
        if is_above_drain || self.is_remembered(id) {
            // A header block is work, also of a stream that nobody wants any more.
            return if is_head && !self.resets.spend(1, self.now) {
                Err(ErrorCode::ENHANCE_YOUR_CALM)
            } else {
                Ok(())
            };
        }
        if is_head {
            return Err(ErrorCode::STREAM_CLOSED);
        }
        self.reset_client(id, ErrorCode::STREAM_CLOSED);
        Ok(())
    }

    fn client_head(&mut self, id: u32, ends: bool) -> Result<(), Fault> {
        if id % 2 == 0 {
            return Err(ErrorCode::PROTOCOL_ERROR);
        }
        if id > self.last_stream {
            self.last_stream = id;
            return self.request(id, ends);
        }
        let fits = self.may_hold_trailers(self.client.fields.len());
        let Some(stream) = self.streams.get_mut(id) else {
            return self.late(id, true);
        };
        let flow = &mut stream.up;
        let checked = if flow.is_ended {
            Err(ErrorCode::STREAM_CLOSED)
        } else if !ends || message::trailers(&self.client.fields).is_err() {
            Err(ErrorCode::PROTOCOL_ERROR)
        } else {
            flow.check_end()
        };
        if let Err(code) = checked {
            self.abort_for_client(id, code);
            return Ok(());
        }
        if !fits {
            self.abort_for_client(id, ErrorCode::ENHANCE_YOUR_CALM);
            return Ok(());
        }
        let link = self.links.iter().find(|candidate| Some(candidate.id) == stream.link);
        let size = self.client.fields.list_size();
        // What the backend would end its connection for. Its request has been passed on: REFUSED_STREAM would say that it may be
        // sent again (RFC 9113 §8.7).
        if self.client.is_oversized || link.is_some_and(|link| size > link.peer.max_header_list) {
            flow.is_ended = true;
            if stream.response == Response::Final {
                self.abort_for_client(id, ErrorCode::CANCEL);
            } else if self.client_pays(id) {
                self.answer(id, Answer::TOO_LARGE);
            }
            return Ok(());
        }
        self.held_fields += self.client.fields.len();
        flow.is_ended = true;
        flow.has_trailers = true;
        std::mem::swap(&mut flow.trailers, &mut self.client.fields);
        self.wake_up(id);
        self.settle(id);
        Ok(())
    }

    fn request(&mut self, id: u32, ends: bool) -> Result<(), Fault> {
        if self.drain.as_ref().is_some_and(|drain| drain.last.is_some()) {
            return Ok(());
        }
        if self.client_active >= self.config.max_concurrent_streams
            || self.streams.len() >= self.most_streams()
            || self.held_fields + self.client.fields.len() > self.config.max_held_fields
        {
            if !self.resets.spend(1, self.now) {
                return Err(ErrorCode::ENHANCE_YOUR_CALM);
            }
            // Paid for already.
            self.end_at_client(id, ErrorCode::REFUSED_STREAM);
            return Ok(());
        }
        if self.client.is_oversized {
            // What was kept of the list says in which words to answer.
            let (_, is_grpc) = self.route(id, ends);
            self.answer_unknown(id, is_grpc, ends, Answer::TOO_LARGE);
            return Ok(());
        }
        let head = match message::request(&self.client.fields, self.config.extended_connect) {
            Ok(head) if !(ends && head.content_length.is_some_and(|length| length > 0)) => head,
            _ => {
                self.reset_client(id, ErrorCode::PROTOCOL_ERROR);
                return Ok(());
            }
        };
        let (outlet, is_grpc) = self.route(id, ends);
        let Some(outlet) = outlet else {
            self.answer_unknown(id, is_grpc, ends, Answer::NO_ROUTE);
            return Ok(());
        };
        if self.outlets.get(outlet).map_or(true, |outlet| outlet.is_forbidden) {
            self.answer_unknown(id, is_grpc, ends, Answer::FORBIDDEN);
            return Ok(());
        }
        let stream = self.streams.insert(id);
        stream.outlet = outlet;
        stream.is_open_at_client = true;
        stream.is_replayable = true;
        stream.is_grpc = is_grpc;
        stream.is_head = head.is_head;
        stream.is_connect = head.is_connect;
        stream.is_extended_connect = head.is_extended_connect;
        stream.up.is_ended = ends;
        stream.up.recv_window = i64::from(self.client.local_window);
        stream.up.content_left = head.content_length;
        stream.down.send_window = i64::from(self.client.initial_window);
        std::mem::swap(&mut stream.head, &mut self.client.fields);
        self.held_fields += stream.head.len();
        self.client_active += 1;
        self.enqueue(id);
        Ok(())
    }

    /// Where the request in `client.fields` leads, and whether it is gRPC.
    fn route(&mut self, id: u32, ends: bool) -> (Option<usize>, bool) {
        let mut request = self.facts.take_request();
        request.clear();
        request.on_stream(id, ends);
        for field in self.client.fields.iter() {
            match field.name {
                b":authority" => request.set_authority(field.value),
                b":method" => request.set_method(field.value),
                b":path" => request.set_target(field.value, path_of(field.value)),
                b":protocol" => request.set_protocol(field.value),
                b":scheme" => request.set_scheme(field.value),
                name => request.push_field(name, field.value),
            }
        }
        let is_grpc = request.is_grpc();
        self.facts.put_request(request);
        let opening = Opening::new(&self.facts, PREFACE, true);
        let why = self.outlets.choose(&self.routes, &opening);
        self.requests += 1;
        if let Some(observer) = &self.config.on_request {
            observer.tell(&RequestReport { facts: &self.facts, why });
        }
        (why.and_then(|why| self.outlets.of(why)), is_grpc)
    }

    fn client_reset(&mut self, id: u32, code: ErrorCode) -> Result<(), Fault> {
        self.check_known(id)?;
        if !self.resets.spend(1, self.now) {
            return Err(ErrorCode::ENHANCE_YOUR_CALM);
        }
        self.reset_link(id, code);
        self.forget(id);
        Ok(())
    }

    fn client_window(&mut self, id: u32, increment: u32) -> Result<(), Fault> {
        self.check_known(id)?;
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        let widened = if increment == 0 {
            Err(ErrorCode::PROTOCOL_ERROR)
        } else {
            stream.down.widen(i64::from(increment))
        };
        match widened {
            Ok(()) => wake(&mut self.client.ready, id, &mut stream.down.is_ready),
            Err(code) => self.abort_for_client(id, code),
        }
        Ok(())
    }

    /// RFC 9218 §7.1: goes to the backend of its stream, which has the same id there. Of an idle stream it is dropped, and so is one
    /// that a backend might reset the stream for, or end the connection.
    fn priority_update(&mut self, id: u32, payload: &[u8]) {
        if !priority::is_valid(payload.get(4..).unwrap_or_default()) {
            return;
        }
        let Some(stream) = self.streams.get(id).filter(|stream| stream.is_open_at_link) else { return };
        let Some(link) = stream.link else { return };
        let mark = self.config.output_mark;
        if let Some(link) = self.link_mut(link).filter(|link| link.peer.outbox.len() < mark) {
            link.peer.put_frame(Kind::PRIORITY_UPDATE, payload);
        }
    }

    /// The request has something for its backend.
    pub(super) fn wake_up(&mut self, id: u32) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if !stream.is_open_at_link || !stream.up.has_something() {
            return;
        }
        let link = stream.link;
        if let Some(link) = self.links.iter_mut().find(|candidate| Some(candidate.id) == link) {
            wake(&mut link.peer.ready, id, &mut stream.up.is_ready);
        }
    }
}

/// Gives a stream a turn, once.
pub(super) fn wake(ready: &mut std::collections::VecDeque<u32>, id: u32, is_ready: &mut bool) {
    if !std::mem::replace(is_ready, true) {
        ready.push_back(id);
    }
}
