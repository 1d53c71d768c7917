//! Stands for `bell` where the system has no timers that can be waited for as sockets are: the runtime's own remain.

use std::io;
use std::marker::PhantomData;
use std::task::{Context, Waker};
use std::time::Instant;

/// None.
#[derive(Debug)]
pub(super) enum Bell {}

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) const fn poll(&self, _cx: &mut Context<'_>) {
        match *self {}
    }
}

/// Never rings.
#[derive(Debug)]
pub(super) struct Ring<'a>(PhantomData<&'a Bell>);

impl<'a> Ring<'a> {
    pub(super) const fn new(_bell: Option<&'a Bell>) -> Self {
        Self(PhantomData)
    }

    pub(super) const fn set(&mut self, _at: Instant, _waker: &Waker) {}

    pub(super) const fn has_rung(&self) -> bool {
        false
    }

    pub(super) const fn is_waiting(&self) -> bool {
        false
    }

    pub(super) const fn clear(&mut self) {}
}
