//! The laws of oneport, as tests.

#[cfg(test)]
mod hpack;
