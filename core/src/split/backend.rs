//! What a backend says: responses, their bodies, and that it goes.

use bytes::Bytes;

use super::answers::Answer;
use super::client::wake;
use super::core::Core;
use super::fields::Fields;
use super::links::{BackendId, Link, LinkState};
use super::message;
use super::peer::{Event, Fault};
use super::reader::DataHead;
use super::stream::{Response, Stream};
use super::ConnectionEnd;
use crate::wire::frame::ErrorCode;

impl<R> Core<R> {
    /// Looks at what a backend has sent, as long as there is room for what it causes.
    pub(super) fn pump_link(&mut self, id: BackendId) {
        while self.end.is_none() && self.client_has_room() {
            let (config, now) = (&self.config, self.now);
            let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
            if !link.peer.may_be_read(config) {
                return;
            }
            let taken = match link.peer.next(config, now) {
                Ok(Some(event)) => self.take_backend(id, event),
                Ok(None) => return,
                Err(code) => Err(code),
            };
            if let Err(code) = taken {
                self.fail_link(id, Some(ConnectionEnd::Fault(code)));
            }
        }
    }

    fn take_backend(&mut self, link: BackendId, event: Event) -> Result<(), Fault> {
        match event {
            Event::Data(head) => self.backend_data(link, &head),
            Event::Content { stream, bytes, ends } => {
                self.backend_content(link, stream, bytes, ends);
                Ok(())
            }
            Event::GoAway { last } => {
                self.backend_goes(link, last);
                Ok(())
            }
            Event::Head { stream, ends } => self.backend_head(link, stream, ends),
            Event::Nothing | Event::PingAck(_) | Event::PriorityUpdate { .. } => Ok(()),
            Event::Reset { stream, code } => self.backend_reset(link, stream, code),
            Event::Settings { window_change } => self.backend_settings(link, window_change),
            Event::SettingsAck { window_change } => {
                let streams = self.streams.iter_mut().filter(|stream| is_open_on(stream, link));
                streams.for_each(|stream| stream.down.recv_window += window_change);
                Ok(())
            }
            Event::Window { stream, increment } => self.backend_window(link, stream, increment),
        }
    }

    /// A backend may speak of the streams that were opened on its connection, and of no others (RFC 9113 §5.1).
    fn check_opened(&self, link: BackendId, id: u32) -> Result<(), Fault> {
        match self.link(link) {
            Some(link) if id % 2 == 1 && id <= link.highest => Ok(()),
            _ => Err(ErrorCode::PROTOCOL_ERROR),
        }
    }

    fn open_stream(&mut self, link: BackendId, id: u32) -> Option<&mut Stream> {
        self.streams.get_mut(id).filter(|stream| is_open_on(stream, link))
    }

    fn backend_data(&mut self, link: BackendId, head: &DataHead) -> Result<(), Fault> {
        let id = head.stream;
        self.check_opened(link, id)?;
        let padding = (head.flow - head.content) as usize;
        let window = self.config.stream_window;
        let begun = self.open_stream(link, id).map(|stream| match stream.response {
            Response::Final => {
                stream.down.begin_data(head)?;
                Ok(stream.down.credit(padding, window))
            }
            Response::None | Response::Interim { .. } => Err(ErrorCode::PROTOCOL_ERROR),
        });
        let Some(Link { peer, .. }) = self.link_mut(link) else { return Ok(()) };
        // The content is credited when it leaves, or comes and is not wanted.
        peer.credit(padding);
        match begun {
            Some(Ok(Some(increment))) => peer.put_window_update(id, increment),
            Some(Ok(None)) | None => {}
            Some(Err(code)) => self.bad_response(id, code),
        }
        Ok(())
    }

    fn backend_content(&mut self, link: BackendId, id: u32, bytes: Bytes, ends: bool) {
        let Some(Link { peer, .. }) = self.links.iter_mut().find(|candidate| candidate.id == link) else {
            return;
        };
        let Some(stream) = self.streams.get_mut(id).filter(|stream| is_open_on(stream, link)) else {
            peer.credit(bytes.len());
            return;
        };
        stream.down.queue.push(bytes, peer.whole_input);
        stream.down.is_ended |= ends;
        wake(&mut self.client.ready, id, &mut stream.down.is_ready);
        if ends {
            self.settle(id);
        }
    }

    fn backend_head(&mut self, link: BackendId, id: u32, ends: bool) -> Result<(), Fault> {
        self.check_opened(link, id)?;
        if self.open_stream(link, id).is_none() {
            return Ok(());
        }
        let Some(Link { peer, .. }) = self.link_mut(link) else { return Ok(()) };
        let is_oversized = peer.is_oversized;
        let mut fields = std::mem::take(&mut peer.fields);
        let is_good = !is_oversized && self.response(id, ends, &mut fields).is_ok();
        if let Some(Link { peer, .. }) = self.link_mut(link) {
            peer.fields = fields;
        }
        if !is_good {
            self.bad_response(id, ErrorCode::PROTOCOL_ERROR);
        }
        Ok(())
    }

    /// A response, an interim one, or trailers.
    fn response(&mut self, id: u32, ends: bool, fields: &mut Fields) -> Result<(), message::Malformed> {
        let may_be_held = self.may_hold_trailers(fields.len());
        let Some(stream) = self.streams.get_mut(id) else { return Ok(()) };
        // Nothing is cut short at the backend then, and nobody has to pay for it.
        let is_over = ends && stream.up.is_sent;
        let flow = &mut stream.down;
        if stream.response == Response::Final {
            message::trailers(fields)?;
            if !ends || flow.is_ended || flow.check_end().is_err() {
                return Err(message::Malformed);
            }
            let is_too_large = fields.list_size() > self.client.max_header_list;
            if !may_be_held || is_too_large {
                // There is nothing wrong with them.
                if !is_too_large || is_over || self.client_pays(id) {
                    self.abort(id, ErrorCode::INTERNAL_ERROR, ErrorCode::CANCEL);
                }
                return Ok(());
            }
            self.held_fields += fields.len();
            flow.is_ended = true;
            flow.has_trailers = true;
            std::mem::swap(&mut flow.trailers, fields);
            wake(&mut self.client.ready, id, &mut flow.is_ready);
            self.settle(id);
            return Ok(());
        }
        let head = message::response(fields)?;
        let limit = self.client.max_header_list;
        if limit < self.config.max_header_list && fields.list_size() > limit {
            // There is nothing wrong with it, either.
            if is_over || self.client_pays(id) {
                self.answer(id, Answer::RESPONSE_TOO_LARGE);
            }
            return Ok(());
        }
        if head.is_informational() {
            let (mut count, mut size) = (1, fields.list_size());
            if let Response::Interim { count: before, size: size_before } = stream.response {
                count += before;
                size += size_before;
            }
            // A few bytes of a backend's compression stand for a whole list.
            if ends || count > self.config.max_informational || size > self.config.max_header_list {
                return Err(message::Malformed);
            }
            stream.response = Response::Interim { count, size };
            self.client.put_head(id, fields.iter(), false);
            return Ok(());
        }
        // Responses that have no content, whatever their length says (RFC 9110 §6.4.1); a tunnel has no length.
        flow.content_left = match head.status {
            _ if stream.is_head => Some(0),
            200..=299 if stream.is_connect => None,
            204 | 304 => Some(0),
            _ => head.content_length,
        };
        if ends && flow.check_end().is_err() {
            return Err(message::Malformed);
        }
        stream.response = Response::Final;
        flow.is_ended = ends;
        flow.is_sent = ends;
        self.client.put_head(id, fields.iter(), ends);
        self.give_up_replay(id);
        if ends {
            self.settle(id);
        }
        Ok(())
    }

    /// A response that must not be passed on.
    fn bad_response(&mut self, id: u32, code: ErrorCode) {
        self.reset_link(id, code);
        self.answer(id, Answer::BAD_RESPONSE);
    }

    fn backend_reset(&mut self, link: BackendId, id: u32, code: ErrorCode) -> Result<(), Fault> {
        self.check_opened(link, id)?;
        let Some(stream) = self.open_stream(link, id) else { return Ok(()) };
        stream.is_open_at_link = false;
        let is_whole = stream.down.is_ended;
        if is_whole {
            // The response goes on its way first (RFC 9113 §8.1); the rest of the request is not wanted.
            stream.up.queue.clear();
            stream.up.is_sent = true;
            stream.reset_after = Some(code);
        }
        if let Some(link) = self.link_mut(link) {
            link.active = link.active.saturating_sub(1);
        }
        if is_whole {
            self.settle(id);
        } else {
            self.abort(id, code, ErrorCode::CANCEL);
        }
        Ok(())
    }

    fn backend_window(&mut self, link: BackendId, id: u32, increment: u32) -> Result<(), Fault> {
        self.check_opened(link, id)?;
        let Some(stream) = self.open_stream(link, id) else { return Ok(()) };
        let widened = match increment {
            0 => Err(ErrorCode::PROTOCOL_ERROR),
            _ => stream.up.widen(i64::from(increment)),
        };
        match widened {
            Ok(()) => self.wake_up(id),
            Err(code) => self.bad_response(id, code),
        }
        Ok(())
    }

    fn backend_settings(&mut self, id: BackendId, window_change: i64) -> Result<(), Fault> {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return Ok(()) };
        if link.state == LinkState::Opening {
            link.state = LinkState::Open;
        }
        for stream in self.streams.iter_mut().filter(|stream| is_open_on(stream, id)) {
            stream.up.widen(window_change)?;
            wake(&mut link.peer.ready, stream.id, &mut stream.up.is_ready);
        }
        Ok(())
    }

    /// RFC 9113 §6.8: what is above `last` was not processed and may be sent elsewhere; the rest goes on.
    fn backend_goes(&mut self, id: BackendId, last: u32) {
        let Some(link) = self.links.iter_mut().find(|link| link.id == id) else { return };
        link.state = LinkState::Draining;
        let last = link.last_processed.map_or(last, |before| before.min(last));
        link.last_processed = Some(last);
        let waiting = std::mem::take(&mut link.waiting);
        let outlet = link.outlet;
        if let Some(outlet) = self.outlets.get_mut(outlet).filter(|outlet| outlet.current == Some(id)) {
            outlet.current = None;
        }
        for stream in self.streams.ids(|stream| is_open_on(stream, id) && stream.id > last) {
            let Some(state) = self.open_stream(id, stream) else { continue };
            state.is_open_at_link = false;
            if let Some(link) = self.link_mut(id) {
                link.active = link.active.saturating_sub(1);
            }
            self.retry(stream, false);
        }
        for stream in waiting {
            self.retry(stream, true);
        }
    }
}

fn is_open_on(stream: &Stream, link: BackendId) -> bool {
    stream.is_open_at_link && stream.link == Some(link)
}
