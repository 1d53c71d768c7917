//! Stands for `pipes` where the system has no `splice`: no pipe is ever to be had, and bytes are copied.

use std::io;

/// None.
#[derive(Clone, Debug)]
pub(super) struct Pipes;

impl Pipes {
    pub(super) const fn new() -> Self {
        Self
    }

    pub(super) const fn none() -> Self {
        Self
    }

    pub(super) const fn take(&self) -> Option<Pipe> {
        None
    }
}

/// There is no such thing.
#[derive(Debug)]
pub(super) enum Pipe {}

/// Why nothing was moved.
// Nobody makes one: the pump names them all the same.
#[allow(dead_code)]
#[derive(Debug)]
pub(super) enum Unmoved {
    Unsupported,
    NotNow,
    Broken(io::Error),
}

impl Pipe {
    pub(super) const fn is_empty(&self) -> bool {
        match *self {}
    }

    pub(super) fn fill<T>(&mut self, _: T) -> Result<usize, Unmoved> {
        match *self {}
    }

    pub(super) fn drain<T>(&mut self, _: T) -> Result<usize, Unmoved> {
        match *self {}
    }

    pub(super) fn take_out(self) -> io::Result<Vec<u8>> {
        match self {}
    }
}
