//! Preloaded into a process (`LD_PRELOAD`), it sets that process's wall clock, and no other's, by as many seconds as the file says that
//! the environment variable `ENDURANCE_CLOCK` names. All other clocks are the system's. A time namespace can not do this: it moves the
//! monotonic clock and not the wall clock.

use std::cell::Cell;

use libc::{c_int, clockid_t, syscall, timespec, SYS_clock_gettime, CLOCK_REALTIME};

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
pub unsafe extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    // The system call itself: whatever else asks for the time may come here again.
    // SAFETY: by this function's contract.
    if unsafe { syscall(SYS_clock_gettime, clock, time) } != 0 {
        return -1;
    }
    if clock == CLOCK_REALTIME {
        // SAFETY: by this function's contract, and it has been written.
        let now = unsafe { &mut *time };
        now.tv_sec = now.tv_sec.saturating_add(step());
    }
    0
}
