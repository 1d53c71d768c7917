//! What an opening shows of HTTP/1: first the request line, then the whole head.

use super::{Fact, HttpVersion, Request};
use crate::wire::http1::{authority_of, HeadScanner};
use crate::wire::progress::Progress;

/// A guess at how much longer the stored head is than the written one: lengths instead of separators.
const FIELD_OVERHEAD: usize = 128;

#[derive(Debug)]
pub(crate) struct Http1Observer {
    scanner: HeadScanner,
    line: Fact<()>,
    head: Fact<()>,
}

impl Http1Observer {
    pub(crate) fn new(max_head: usize) -> Self {
        Self { scanner: HeadScanner::new(max_head), line: Fact::Unknown, head: Fact::Unknown }
    }

    pub(crate) const fn line(&self) -> Fact<()> {
        self.line
    }

    pub(crate) const fn head(&self) -> Fact<()> {
        self.head
    }

    /// Looks at what is new in `opening` and fills `request`, first with the line, then with the fields.
    pub(crate) fn observe(&mut self, opening: &[u8], request: &mut Option<Request>) -> Progress {
        if !self.head.is_unknown() {
            return Progress::NeedMore;
        }
        let progress = self.scanner.scan(opening);
        if self.line.is_unknown() {
            self.line = match self.scanner.line_progress() {
                Progress::Done => Fact::Present(()),
                Progress::Invalid => Fact::Absent,
                Progress::NeedMore | Progress::TooLong => Fact::Unknown,
            };
            if let (Fact::Present(()), Some(line)) = (self.line, self.scanner.request_line()) {
                let mut head = Request::new(HttpVersion::Http1, opening.len() + FIELD_OVERHEAD);
                let (method, target) = (line.method(opening), line.target(opening));
                head.set_method(method);
                head.set_target(target);
                if method == b"CONNECT" {
                    head.set_authority(target);
                } else if let Some(authority) = authority_of(target) {
                    head.set_authority(authority);
                }
                *request = Some(head);
            }
        }
        match progress {
            Progress::Done => {
                if let Some(request) = request {
                    for (name, value) in self.scanner.fields(opening) {
                        request.push_field(name, value);
                    }
                }
                self.head = Fact::Present(());
            }
            Progress::Invalid => self.head = Fact::Absent,
            Progress::NeedMore | Progress::TooLong => {}
        }
        progress
    }

    /// Nothing more will come.
    pub(crate) fn finish(&mut self) {
        if self.line.is_unknown() {
            self.line = Fact::Absent;
        }
        if self.head.is_unknown() {
            self.head = Fact::Absent;
        }
    }
}
