//! The laws of oneport, as tests.
