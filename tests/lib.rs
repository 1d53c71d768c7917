//! The laws of oneport, as tests: against a reference model that sees all bytes at once, against strict peers, and against
//! what real clients sent.

#[cfg(test)]
mod support;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod peers;
