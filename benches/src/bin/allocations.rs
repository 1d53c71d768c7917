//! Allocations of one run of each case, as lines `NAME COUNT BYTES`.
//!
//! ```text
//! allocations [PREFIX]    of the cases whose names begin so
//! allocations held        bytes that the machine of per-request routing holds: `KIND NEW ONE OPEN IDLE`: without a request, after
//!                         the first one, with 100 of them open, and when they have been answered
//! allocations sizes       what header blocks take, by how they are written: `NAME BLOCKS BYTES`
//! ```
//!
//! A program of its own: the one that takes times has the allocator that users have.

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use oneport_benches::cases;
use oneport_benches::recode::{sources, WAYS};
use oneport_benches::split::{Port, Script, KINDS};

static COUNT: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicI64 = AtomicI64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with some numbers beside it. A reallocation counts as one: it may move the memory.
struct Counting;

fn count(size: usize) {
    COUNT.fetch_add(1, Relaxed);
    HELD.fetch_add(size as i64, Relaxed);
    BYTES.fetch_add(size as u64, Relaxed);
}

// SAFETY: each call goes to `System` as it came, and what `System` gives comes back as it is, so the contract of `GlobalAlloc` holds
// because it holds for `System`. `count` does not allocate. There is no other way to see allocations from inside of a program, and the
// product has no part in it: this crate is outside of its workspace.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        System.alloc(layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        System.alloc_zeroed(layout)
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        System.realloc(pointer, layout, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as i64, Relaxed);
        System.dealloc(pointer, layout);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["held"] => held(),
        ["sizes"] => sizes(None),
        ["sizes", stories] => sizes(Some(Path::new(stories))),
        [] => allocations(""),
        [prefix] => allocations(prefix),
        _ => panic!("usage: allocations [PREFIX] | held | sizes [STORIES]"),
    }
}

fn allocations(prefix: &str) {
    const RUNS: u64 = 16;
    for mut case in cases::all(None, &|name| name.starts_with(prefix)) {
        (case.task)();
        let before = (COUNT.load(Relaxed), BYTES.load(Relaxed));
        (0..RUNS).for_each(|_| (case.task)());
        let (count, bytes) = (COUNT.load(Relaxed) - before.0, BYTES.load(Relaxed) - before.1);
        println!("{} {} {}", case.name, count as f64 / RUNS as f64, bytes as f64 / RUNS as f64);
    }
}

fn held() {
    for (name, asked) in KINDS {
        let mut script = Script::new(asked, 100);
        // What the script holds for itself it holds from its first round on.
        script.recite();
        let before = HELD.load(Relaxed);
        let since = || HELD.load(Relaxed) - before;
        // On the heap, as in a program, so that its own size is counted.
        let mut port = Box::new(Port::open());
        let new = since();
        port.warm(&mut script);
        let one = since();
        port.ask(&mut script);
        let open = since();
        port.answer(&mut script);
        port.rest();
        println!("{name} {new} {one} {open} {}", since());
    }
}

fn sizes(stories: Option<&Path>) {
    for (source, lists) in sources(stories) {
        for (word, way) in WAYS {
            let blocks = lists.blocks(way);
            println!("{source}/{word} {} {}", blocks.len(), blocks.iter().map(Vec::len).sum::<usize>());
        }
    }
}
