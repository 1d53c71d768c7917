//! The machine of per-request routing: stories, laws against a model, the independent HTTP/2 of the h2 crate, and attacks.

mod attacks;
mod h2_oracle;
mod hostile;
mod laws;
mod rig;
mod stories;
pub(crate) mod strict;
