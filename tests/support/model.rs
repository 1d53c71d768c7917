//! The reference: how a scene must go by the laws, worked out from all bytes and their instants, with nothing kept from one
//! moment to the next but what the mux has said. Slow and plain on purpose.

use std::time::Duration;

use oneport_core::testing::End;
use oneport_core::wire::progress::Progress;
use oneport_core::wire::tls::HelloReader;
use oneport_core::{Bound, Fact, Outcome, Phase, Reason, Verdict};

use super::drive::{Ending, Seen};
use super::http1;
use super::http2::{walk, Answer, Greeted, Settled, Walk, PREFACE_LEN};
use super::ledgers::without_first_ack;
use super::scene::{Scene, To};
use super::terms::{Known, Request};
use super::words::Word;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How the scene must go.
pub(crate) fn expect(scene: &Scene) -> Seen {
    let mut model = Model::new(scene);
    model.decide();
    for piece in scene.client.pieces() {
        model.wait(Some(piece.at));
        if model.ending.is_none() {
            model.now = piece.at;
            model.bytes += piece.bytes.len();
            model.decide();
        }
    }
    if let Some((at, end)) = scene.client.end() {
        model.wait(Some(at));
        if model.ending.is_none() {
            model.now = at;
            model.end(end);
        }
    }
    model.wait(None);
    let ending = model.ending.take().expect("every connection ends");
    model.seen(ending)
}

/// What runs out.
enum Timer {
    Greet,
    Phase,
    Refusal,
    ServerFirst,
}

/// What an opening of so many bytes is.
struct Look {
    known: Known,
    walk: Walk,
    exceeded: Option<Bound>,
    phase: Phase,
}

struct Model<'a> {
    scene: &'a Scene,
    /// All that the client ever sends.
    all: Vec<u8>,
    /// How much of it has come.
    bytes: usize,
    now: Duration,
    has_ended: bool,
    greeted: Option<Greeted>,
    refusing: Option<Duration>,
    words: Vec<(Duration, Word)>,
    ending: Option<Outcome>,
    to: Option<To>,
}

impl<'a> Model<'a> {
    fn new(scene: &'a Scene) -> Self {
        Self {
            scene,
            all: scene.client.bytes(),
            bytes: 0,
            now: Duration::ZERO,
            has_ended: false,
            greeted: None,
            refusing: None,
            words: Vec::new(),
            ending: None,
            to: None,
        }
    }

    /// When the byte in front of this offset came.
    fn arrival(&self, offset: usize) -> Duration {
        let mut end = 0;
        for piece in self.scene.client.pieces() {
            end += piece.bytes.len();
            if offset <= end {
                return piece.at;
            }
        }
        unreachable!("nothing lies behind the last piece")
    }

    fn look(&self) -> Look {
        self.look_at(self.bytes, self.greeted)
    }

    fn look_at(&self, len: usize, greeted: Option<Greeted>) -> Look {
        let config = &self.scene.config;
        let bytes = &self.all[..len];
        let http2 = if bytes.starts_with(PREFACE) {
            Fact::Present(())
        } else if PREFACE.starts_with(bytes) {
            Fact::Unknown
        } else {
            Fact::Absent
        };
        let http1 = http1::read(bytes, config.max_http1_head);
        let walk = match http2 {
            Fact::Present(()) => walk(bytes, greeted, config, &|offset| self.arrival(offset)),
            _ => Walk::default(),
        };
        let mut exceeded = None;
        // Raw matchers see nothing behind the byte that settled all else.
        let mut visible = config.max_prefix;
        if http1.is_too_long {
            exceeded = Some(Bound::Http1Head);
            visible = visible.min(config.max_http1_head);
        }
        let tls = {
            let scan = |len: usize| {
                let mut reader = HelloReader::new(config.max_client_hello);
                (reader.scan(&bytes[..len]), reader)
            };
            match scan(len) {
                (Progress::Done, reader) => Fact::Present(reader.hello(bytes).unwrap().into_owned()),
                (Progress::Invalid, _) => Fact::Absent,
                (Progress::NeedMore, _) => Fact::Unknown,
                (Progress::TooLong, _) => {
                    exceeded = Some(Bound::ClientHello);
                    let at = (0..=len).find(|&len| scan(len).0 == Progress::TooLong).unwrap();
                    visible = visible.min(at);
                    Fact::Unknown
                }
            }
        };
        let request = match (&http2, &walk.settled) {
            (Fact::Present(()), Some((at, settled))) => {
                visible = visible.min(*at);
                match settled {
                    Settled::Request(request) => Fact::Present(request.clone()),
                    Settled::Malformed(_) => Fact::Absent,
                    Settled::Exceeded(bound) => {
                        exceeded = Some(*bound);
                        Fact::Unknown
                    }
                }
            }
            (Fact::Present(()) | Fact::Unknown, _) => Fact::Unknown,
            (Fact::Absent, _) => http1.request,
        };
        let phase = match http2 {
            _ if len == 0 => Phase::Silent,
            Fact::Absent | Fact::Unknown => Phase::Opening,
            Fact::Present(()) if walk.settled.is_some() => Phase::Delivery,
            Fact::Present(()) if walk.has_headers_begun => Phase::Http2Headers,
            Fact::Present(()) if walk.settings == 0 => Phase::Http2Settings,
            Fact::Present(()) if greeted.is_some() => Phase::Http2Idle,
            Fact::Present(()) => Phase::Http2Waiting,
        };
        // Once the mux has spoken, what comes depends on what it said; raw matchers keep to what came before.
        let (end, is_final) = match greeted {
            Some(greeted) => (greeted.bytes.min(config.max_prefix), true),
            None => (len.min(visible), len >= visible),
        };
        let mut known =
            Known { http2, line: http1.line, request, tls, prefix: bytes[..end].to_vec(), is_final };
        if self.has_ended {
            known = finished(known);
        }
        Look { known, walk, exceeded, phase }
    }

    /// What the routes say.
    fn choose(&self, known: &Known) -> Result<To, Verdict> {
        for (i, term) in self.scene.routes.iter().enumerate() {
            match term.judge(known) {
                Verdict::Match => return Ok(To::Route(i)),
                Verdict::NeedMore => return Err(Verdict::NeedMore),
                Verdict::NoMatch => {}
            }
        }
        if self.scene.has_otherwise {
            Ok(To::Otherwise)
        } else {
            Err(Verdict::NoMatch)
        }
    }

    fn decide(&mut self) {
        let look = self.look();
        self.decide_on(&look);
    }

    fn decide_on(&mut self, look: &Look) {
        if self.refusing.is_none() {
            match self.choose(&look.known) {
                Ok(to) => {
                    self.to = Some(to);
                    let why = match to {
                        To::Route(i) => oneport_core::Why::Matched(i),
                        _ => oneport_core::Why::Otherwise,
                    };
                    self.ending = Some(Outcome::Routed(why));
                    return;
                }
                Err(Verdict::NoMatch) => self.refusing = Some(self.now),
                Err(_) => {}
            }
        }
        let is_language_settled = match look.known.http2 {
            Fact::Unknown => false,
            Fact::Present(()) => look.walk.settled.is_some(),
            Fact::Absent => !look.known.request.is_unknown() && !look.known.tls.is_unknown(),
        };
        if let Some(bound) = look.exceeded {
            self.close(Outcome::Refused(Reason::TooLarge(bound)));
        } else if self.refusing.is_some() && is_language_settled {
            self.close(Outcome::Refused(Reason::NoRoute));
        }
    }

    fn end(&mut self, end: End) {
        let look = self.look();
        if end == End::Reset || self.bytes == 0 || look.known.http2.is_present() {
            self.ending = Some(Outcome::Left(look.phase));
            return;
        }
        self.has_ended = true;
        self.decide();
        assert!(self.ending.is_some(), "the end settles everything");
    }

    /// Lets what is due before `to` run out.
    fn wait(&mut self, to: Option<Duration>) {
        while self.ending.is_none() {
            let (deadline, timer) = self.timer();
            if to.is_some_and(|to| deadline >= to) {
                return;
            }
            self.now = self.now.max(deadline);
            let look = self.look();
            match timer {
                Timer::Greet => self.greet(),
                Timer::Phase if look.phase == Phase::Opening && self.scene.has_on_timeout => {
                    self.to = Some(To::OnTimeout);
                    self.ending = Some(Outcome::Routed(oneport_core::Why::OnTimeout));
                }
                Timer::Phase => self.close(Outcome::TimedOut(look.phase)),
                Timer::Refusal => self.close(Outcome::Refused(Reason::NoRoute)),
                Timer::ServerFirst => {
                    self.to = Some(To::ServerFirst);
                    self.ending = Some(Outcome::Routed(oneport_core::Why::ServerFirst));
                }
            }
        }
    }

    /// Since when the connection is in its phase, by looking at every moment that there was.
    fn phase_since(&self) -> Duration {
        let mut moments = vec![(Duration::ZERO, 0, None)];
        let mut len = 0;
        for piece in self.scene.client.pieces() {
            len += piece.bytes.len();
            if len <= self.bytes {
                moments.push((piece.at, len, self.greeted.filter(|greeted| len > greeted.bytes)));
            }
        }
        if let Some(greeted) = self.greeted {
            let place = moments.iter().filter(|(_, len, _)| *len <= greeted.bytes).count();
            moments.insert(place, (greeted.at, greeted.bytes, self.greeted));
        }
        let phases = moments.into_iter().map(|(at, len, greeted)| (at, self.look_at(len, greeted).phase));
        let phases: Vec<_> = phases.collect();
        let (_, phase) = *phases.last().unwrap();
        phases.iter().rev().take_while(|(_, earlier)| *earlier == phase).last().unwrap().0
    }

    fn timer(&self) -> (Duration, Timer) {
        let config = &self.scene.config;
        let since = self.phase_since();
        let first_byte = self.scene.client.pieces().first().map_or(Duration::ZERO, |piece| piece.at);
        let phase = self.look().phase;
        let mut timers = vec![match phase {
            Phase::Silent => (config.silent_deadline, Timer::Phase),
            Phase::Opening => (first_byte + config.opening_deadline, Timer::Phase),
            Phase::Http2Settings => (since + config.http2_settings_deadline, Timer::Phase),
            Phase::Http2Waiting | Phase::Http2Idle => (since + config.http2_idle_deadline, Timer::Phase),
            Phase::Http2Headers => (since + config.http2_headers_deadline, Timer::Phase),
            other => panic!("undecided in {other:?}"),
        }];
        if let Some(since) = self.refusing {
            timers.push((since + config.refusal_deadline, Timer::Refusal));
        } else if let (Phase::Silent, Some(after)) = (phase, self.scene.server_first) {
            timers.push((after, Timer::ServerFirst));
        }
        if phase == Phase::Http2Waiting {
            timers.push((self.arrival(self.bytes) + config.settings_patience, Timer::Greet));
        }
        // Of two at the same instant, the earlier of this list.
        timers.into_iter().min_by_key(|(at, _)| *at).unwrap()
    }

    fn greet(&mut self) {
        let mut look = self.look();
        look.known.is_final = true;
        self.decide_on(&look);
        if self.ending.is_some() {
            return;
        }
        self.words.push((self.now, self.own_settings()));
        self.words.extend((0..look.walk.settings).map(|_| (self.now, Word::SettingsAck)));
        self.greeted = Some(Greeted { at: self.now, bytes: self.bytes });
        self.decide();
    }

    fn own_settings(&self) -> Word {
        let entries = self.scene.config.greeting.entries();
        Word::Settings(entries.iter().map(|entry| (entry.id.0, entry.value)).collect())
    }

    /// Refused, with what its protocol says.
    fn close(&mut self, outcome: Outcome) {
        self.ending = Some(outcome);
    }

    fn last_words(&self, outcome: Outcome, look: &Look) -> Vec<Word> {
        let (reason, is_refusal) = match outcome {
            Outcome::Refused(reason) => (Some(reason), true),
            Outcome::TimedOut(_) => (None, true),
            _ => (None, false),
        };
        if !is_refusal {
            return Vec::new();
        }
        let mut words = Vec::new();
        if look.known.http2.is_present() {
            if self.greeted.is_none() {
                words.push(self.own_settings());
                words.extend((0..look.walk.settings).map(|_| Word::SettingsAck));
            }
            let mut last = 0;
            if let Fact::Present(Request { stream: Some(stream), ends_stream, .. }) = look.known.request {
                let is_grpc = look.known.request.as_ref().present().is_some_and(Request::is_grpc);
                let (status, grpc) = if is_grpc { ("200", Some("12".to_owned())) } else { ("404", None) };
                words.push(Word::Response { stream, status: status.to_owned(), grpc });
                if !ends_stream {
                    words.push(Word::Reset { stream, code: 0 });
                }
                last = stream;
            }
            let code = match (&look.walk.settled, outcome) {
                (Some((_, Settled::Malformed(code))), _) => *code,
                (Some((_, Settled::Exceeded(Bound::FrameSize))), _) => 6,
                (Some((_, Settled::Exceeded(_))), _) | (_, Outcome::TimedOut(Phase::Http2Headers)) => 11,
                _ => 0,
            };
            words.push(Word::GoAway { last, code });
            return words;
        }
        let is_head_too_long = reason == Some(Reason::TooLarge(Bound::Http1Head));
        if look.known.line.is_present() || is_head_too_long {
            let status = match reason {
                None => 408,
                Some(Reason::TooLarge(_)) => 431,
                Some(_) => match look.known.request {
                    Fact::Present(_) => 404,
                    Fact::Absent => 400,
                    Fact::Unknown => 408,
                },
            };
            let is_head = matches!(&look.known.line, Fact::Present((method, _)) if method == b"HEAD");
            return vec![Word::Http1 { status, has_body: !is_head }];
        }
        match (&look.known.tls, reason) {
            (Fact::Present(hello), Some(Reason::NoRoute)) if hello.sni().is_some() => vec![Word::Alert(112)],
            (Fact::Present(hello), Some(Reason::NoRoute)) if hello.alpn().next().is_some() => {
                vec![Word::Alert(120)]
            }
            (Fact::Present(_), _) | (_, Some(Reason::TooLarge(Bound::ClientHello))) => vec![Word::Alert(80)],
            _ => Vec::new(),
        }
    }

    fn seen(mut self, outcome: Outcome) -> Seen {
        let look = self.look();
        let mut words = core::mem::take(&mut self.words);
        let mut acks = look.walk.settings;
        if let Some(greeted) = self.greeted {
            for (end, answer) in &look.walk.answers {
                let word = match answer {
                    Answer::SettingsAck => Word::SettingsAck,
                    Answer::Pong(opaque) => Word::Pong(*opaque),
                };
                words.push((if *end > greeted.bytes { self.arrival(*end) } else { greeted.at }, word));
            }
        } else {
            acks = 0;
        }
        words.extend(self.last_words(outcome, &look).into_iter().map(|word| (self.now, word)));
        let ending = match (outcome, self.to) {
            (Outcome::Routed(_), Some(to)) => match self.greeted {
                None => Ending::Routed { to, backend: self.all, owes_ack: false, owed_by_backend: None },
                Some(greeted) => {
                    let pings: Vec<_> =
                        look.walk.removed.iter().filter(|range| self.all[range.start + 3] == 6).collect();
                    let mut before = greeted.bytes;
                    let mut backend = self.all.clone();
                    for range in pings.iter().rev() {
                        before -= range.end.min(greeted.bytes).saturating_sub(range.start);
                        backend.drain((*range).clone());
                    }
                    let (backend, has_ack_gone) = without_first_ack(&backend, PREFACE_LEN, before);
                    Ending::Routed {
                        to,
                        backend,
                        owes_ack: !has_ack_gone,
                        owed_by_backend: Some(acks as u32),
                    }
                }
            },
            (outcome, _) => Ending::Closed(outcome),
        };
        Seen { words, at: self.now, ending }
    }
}

/// Nothing more comes: what is unknown is absent.
fn finished(known: Known) -> Known {
    fn settle<T>(fact: Fact<T>) -> Fact<T> {
        match fact {
            Fact::Unknown => Fact::Absent,
            other => other,
        }
    }
    Known {
        http2: settle(known.http2),
        line: settle(known.line),
        request: settle(known.request),
        tls: settle(known.tls),
        is_final: true,
        ..known
    }
}
