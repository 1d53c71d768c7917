//! Preloaded into a process (`LD_PRELOAD`), it sets that process's wall clock, and no other's, by as many seconds as the file says that
//! the environment variable `ENDURANCE_CLOCK` names. All other clocks are the system's. A time namespace can not do this: it moves the
//! monotonic clock and not the wall clock.

use std::cell::Cell;

use rustix::time::{clock_gettime as ask_the_system, ClockId, Timespec};

/// `CLOCK_REALTIME` of Linux.
const WALL_CLOCK: i32 = 0;

thread_local! {
    /// Reading the file must not ask for the time of its reading.
    static IS_READING: Cell<bool> = const { Cell::new(false) };
}

/// Seconds by which the wall clock is off now; 0 if there is no such file.
fn step() -> i64 {
    if IS_READING.replace(true) {
        return 0;
    }
    let step = std::env::var_os("ENDURANCE_CLOCK")
        .and_then(|path| std::fs::read_to_string(path).ok())
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    IS_READING.set(false);
    step
}

/// Takes the place of the C library's `clock_gettime(2)`.
///
/// # Safety
/// `time` points to a `timespec` that may be written, as for the original.
#[no_mangle]
pub unsafe extern "C" fn clock_gettime(clock: i32, time: *mut Timespec) -> i32 {
    let id = match clock {
        WALL_CLOCK => ClockId::Realtime,
        4 => ClockId::MonotonicRaw,
        5 => ClockId::RealtimeCoarse,
        6 => ClockId::MonotonicCoarse,
        7 => ClockId::Boottime,
        2 => ClockId::ProcessCPUTime,
        3 => ClockId::ThreadCPUTime,
        _ => ClockId::Monotonic,
    };
    // Without the C library, and so not through this function.
    let mut now = ask_the_system(id);
    if clock == WALL_CLOCK {
        now.tv_sec = now.tv_sec.saturating_add(step());
    }
    // SAFETY: by this function's contract.
    unsafe { time.write(now) };
    0
}
