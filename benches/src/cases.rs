//! The tasks by name, so that another program can ask for them one at a time.

use std::hint::black_box;
use std::path::Path;

use oneport_core::wire::frame::HEAD_LEN;
use oneport_core::Why;

use crate::blocks::{first_block, Part, Story, Whose};
use crate::crawl::{Crawl, KINDS, SIZES};
use crate::flights::{self, Flight};
use crate::life::Listener;
use crate::recode::{self, WAYS};
use crate::split::{Port, Script, KINDS as ASKED, STREAMS};

/// Something to be repeated.
pub struct Case {
    /// `what/of-what`, without blanks.
    pub name: String,
    /// One run of it.
    pub task: Box<dyn FnMut()>,
}

/// The cases whose names are wanted: making one is work, which a tool that counts instructions from outside would count as well.
struct Chosen<'a> {
    wanted: &'a dyn Fn(&str) -> bool,
    cases: Vec<Case>,
}

impl Chosen<'_> {
    fn add<F: FnMut() + 'static>(&mut self, name: String, make: impl FnOnce() -> F) {
        if (self.wanted)(&name) {
            self.cases.push(Case { task: Box::new(make()), name });
        }
    }
}

/// All cases with a wanted name; HPACK of whole stories only with a file of stories (see [`Story::read`]).
///
/// # Panics
/// If a flight does not end in its route, or if two decoders read different things: then there is nothing to compare.
pub fn all(stories: Option<&Path>, wanted: &dyn Fn(&str) -> bool) -> Vec<Case> {
    let mut chosen = Chosen { wanted, cases: Vec::new() };
    for flight in flights::all() {
        let name = |what| format!("{what}/{}", flight.name);
        chosen.add(name("verdict"), || life(flight, Listener::usual(), Why::Matched(flight.route)));
        chosen.add(name("one-route"), || life(flight, Listener::with_one_route(&flight), Why::Otherwise));
        chosen.add(name("hundred-routes"), || {
            life(flight, Listener::with_a_hundred_routes(&flight), Why::Otherwise)
        });
        chosen.add(name("mixed-routes"), || life(flight, Listener::with_mixed_routes(), Why::Otherwise));
    }
    for (kind, make) in KINDS {
        for size in SIZES {
            chosen.add(format!("crawl/{kind}/{size}"), || {
                let crawl = Crawl::new(make, size);
                move || {
                    black_box(crawl.play());
                }
            });
        }
    }
    for (source, story) in recorded(stories) {
        for part in [Part::First, Part::Whole] {
            if part == Part::Whole && story.blocks.len() == 1 {
                continue;
            }
            for whose in [Whose::Ours, Whose::Fluke] {
                chosen.add(format!("hpack-{}/{source}/{}", word(whose), word(part)), || {
                    assert_eq!(story.decode(Whose::Ours, part), story.decode(Whose::Fluke, part), "{source}");
                    let story = story.clone();
                    move || {
                        black_box(story.decode(whose, part));
                    }
                });
            }
        }
    }
    per_request(&mut chosen);
    recode(&mut chosen, stories);
    chosen.cases
}

fn per_request(chosen: &mut Chosen<'_>) {
    for (kind, asked) in ASKED {
        for streams in STREAMS {
            chosen.add(format!("split/{kind}/{streams}"), || {
                let mut script = Script::new(asked, streams);
                let mut port = Port::open();
                port.warm(&mut script);
                port.check(&mut script);
                move || port.run(&mut script)
            });
            chosen.add(format!("split-script/{kind}/{streams}"), || {
                let mut script = Script::new(asked, streams);
                move || script.recite()
            });
        }
    }
}

fn recode(chosen: &mut Chosen<'_>, stories: Option<&Path>) {
    for (way, written) in WAYS {
        for (source, lists) in recode::sources(stories) {
            let writing = lists.clone();
            chosen.add(format!("recode-write/{source}/{way}"), move || writing.writer(written));
            chosen.add(format!("recode-read/{source}/{way}"), move || lists.reader(written));
        }
    }
}

fn life(flight: Flight, listener: Listener, expected: Why) -> impl FnMut() {
    let mut words = Vec::with_capacity(256);
    let (why, parts) = listener.play(&flight, &mut words);
    assert_eq!(why, expected, "{}", flight.name);
    let acknowledgement = if flight.waits { HEAD_LEN } else { 0 };
    assert_eq!(parts.replay.len(), flight.bytes().len() - acknowledgement, "{}", flight.name);
    move || {
        black_box(listener.play(&flight, &mut words));
    }
}

/// Blocks by source: one for each flight that has one, and the stories.
fn recorded(stories: Option<&Path>) -> Vec<(String, Story)> {
    let of_flights = flights::all().into_iter().filter_map(|flight| {
        let blocks = vec![(None, first_block(&flight.bytes())?)];
        Some((flight.name.to_owned(), Story { encoder: flight.name.to_owned(), blocks }))
    });
    let mut all: Vec<(String, Story)> = of_flights.collect();
    if let Some(file) = stories {
        let stories = Story::read(file).expect("a file of stories");
        all.extend(
            stories.into_iter().enumerate().map(|(n, story)| (format!("{}-{n}", story.encoder), story)),
        );
    }
    all
}

fn word(value: impl std::fmt::Debug) -> String {
    format!("{value:?}").to_lowercase()
}
