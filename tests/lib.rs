//! The laws of oneport, as tests: against a reference model that sees all bytes at once, against strict peers, and against
//! what real clients sent.

#[cfg(all(test, feature = "adapters"))]
mod adapters;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod flights;
#[cfg(test)]
mod hpack;
#[cfg(test)]
mod http1;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod purity;
#[cfg(test)]
mod split;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
