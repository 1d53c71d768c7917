//! What is said to a peer: frames that are composed, and the credit that it is given.

use std::time::Instant;

use super::super::batch::Batch;
use super::super::SplitConfig;
use super::{Peer, Role, DEFAULT_WINDOW, MAX_WINDOW};
use crate::wire::frame::{
    encode_frame, encode_goaway, flag, ErrorCode, Head, Kind, DEFAULT_MAX_FRAME_SIZE, PREFACE,
};
use crate::wire::hpack::Field;
use crate::wire::settings::{encode_settings, Setting, SettingId};

impl Peer {
    /// Our first words: the preface towards a server, SETTINGS, and the window of the connection.
    pub(in crate::split) fn open(&mut self, config: &SplitConfig) {
        let entry = |id, value| Setting { id, value };
        let mut entries = Vec::with_capacity(6);
        match self.role {
            Role::Client => {
                entries.push(entry(SettingId::MAX_CONCURRENT_STREAMS, config.max_concurrent_streams));
                if config.extended_connect {
                    entries.push(entry(SettingId::ENABLE_CONNECT_PROTOCOL, 1));
                }
                entries.push(entry(SettingId::NO_RFC7540_PRIORITIES, 1));
            }
            Role::Server => {
                self.outbox.frames().extend_from_slice(PREFACE);
                entries.push(entry(SettingId::ENABLE_PUSH, 0));
            }
        }
        if self.stream_window != DEFAULT_WINDOW {
            entries.push(entry(SettingId::INITIAL_WINDOW_SIZE, self.stream_window));
        }
        let list = u32::try_from(config.max_header_list).unwrap_or(u32::MAX);
        entries.push(entry(SettingId::MAX_HEADER_LIST_SIZE, list));
        encode_settings(self.outbox.frames(), &entries);
        let window = match self.role {
            Role::Client => config.client_connection_window,
            Role::Server => config.backend_connection_window,
        };
        self.window = window.clamp(DEFAULT_WINDOW, MAX_WINDOW as u32);
        if self.window > DEFAULT_WINDOW {
            self.recv_window = i64::from(self.window);
            self.put_window_update(0, self.window - DEFAULT_WINDOW);
        }
    }

    /// Bytes that count against the connection's window have found their place, or nobody wants them.
    ///
    /// They are given back once they are half of what the sender has left. A mark that is a part of the window itself would not do:
    /// what streams that stand still hold of the window could keep what the others use below it for ever.
    pub(in crate::split) fn credit(&mut self, bytes: usize) {
        self.uncredited += bytes as u32;
        let left = self.recv_window.max(0);
        if self.uncredited > 0 && i64::from(self.uncredited) >= left / 2 {
            let increment = std::mem::take(&mut self.uncredited);
            self.recv_window += i64::from(increment);
            self.put_window_update(0, increment);
        }
    }

    pub(in crate::split) fn put_window_update(&mut self, stream: u32, increment: u32) {
        encode_frame(self.outbox.frames(), Kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes());
    }

    pub(in crate::split) fn put_reset(&mut self, stream: u32, code: ErrorCode) {
        encode_frame(self.outbox.frames(), Kind::RST_STREAM, 0, stream, &code.0.to_be_bytes());
    }

    pub(in crate::split) fn put_goaway(&mut self, last: u32, code: ErrorCode) {
        encode_goaway(self.outbox.frames(), last, code);
    }

    pub(in crate::split) fn put_ping(&mut self, opaque: [u8; 8]) {
        encode_frame(self.outbox.frames(), Kind::PING, 0, 0, &opaque);
    }

    pub(in crate::split) fn put_frame(&mut self, kind: Kind, payload: &[u8]) {
        encode_frame(self.outbox.frames(), kind, 0, 0, payload);
    }

    pub(in crate::split) fn put_data_head(&mut self, stream: u32, length: usize, ends: bool) {
        let flags = if ends { flag::END_STREAM } else { 0 };
        let head = Head::new(length as u32, Kind::DATA, flags, stream);
        self.outbox.frames().extend_from_slice(&head.encode());
        self.earn(length);
    }

    /// A header list as HEADERS and, where it does not fit into one frame, CONTINUATIONs.
    pub(in crate::split) fn put_head<'f>(
        &mut self,
        stream: u32,
        fields: impl Iterator<Item = Field<'f>>,
        ends: bool,
    ) {
        self.scratch.clear();
        self.encoder.encode(fields, &mut self.scratch);
        let ends = if ends { flag::END_STREAM } else { 0 };
        let out = self.outbox.frames();
        let most = DEFAULT_MAX_FRAME_SIZE as usize;
        if self.scratch.len() <= most {
            encode_frame(out, Kind::HEADERS, flag::END_HEADERS | ends, stream, &self.scratch);
            return;
        }
        let parts = self.scratch.chunks(most);
        let last = parts.len() - 1;
        for (number, part) in parts.enumerate() {
            let kind = if number == 0 { Kind::HEADERS } else { Kind::CONTINUATION };
            let flags =
                if number == 0 { ends } else { 0 } | if number == last { flag::END_HEADERS } else { 0 };
            encode_frame(out, kind, flags, stream, part);
        }
        self.scratch = Vec::new();
    }

    /// When the batch that is being written was handed out.
    pub(in crate::split) const fn in_flight(&self) -> Option<Instant> {
        self.in_flight
    }

    /// Whether all that was composed has been written.
    pub(in crate::split) fn is_written(&self) -> bool {
        self.outbox.is_empty() && self.in_flight.is_none()
    }

    /// The batch to write, if there is one and no other is being written.
    pub(in crate::split) fn take_batch(&mut self, now: Instant) -> Option<Batch> {
        if self.in_flight.is_some() || self.outbox.is_empty() {
            return None;
        }
        self.in_flight = Some(now);
        let spare = std::mem::take(&mut self.spare);
        Some(std::mem::replace(&mut self.outbox, spare))
    }

    pub(in crate::split) fn written(&mut self, mut batch: Batch) {
        self.in_flight = None;
        batch.clear();
        self.spare = batch;
    }
}
