//! Allocations of one run of each case, as lines `NAME COUNT BYTES`.
//!
//! A program of its own: the one that takes times has the allocator that users have.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use oneport_benches::cases;

static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, with two numbers beside it. A reallocation counts as one: it may move the memory.
struct Counting;

fn count(size: usize) {
    COUNT.fetch_add(1, Relaxed);
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
        System.realloc(pointer, layout, size)
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        System.dealloc(pointer, layout);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    const RUNS: u64 = 16;
    for mut case in cases::all(None, &|_| true) {
        (case.task)();
        let before = (COUNT.load(Relaxed), BYTES.load(Relaxed));
        (0..RUNS).for_each(|_| (case.task)());
        let (count, bytes) = (COUNT.load(Relaxed) - before.0, BYTES.load(Relaxed) - before.1);
        println!("{} {} {}", case.name, count as f64 / RUNS as f64, bytes as f64 / RUNS as f64);
    }
}
