//! The pure half of oneport.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod wire;
