//! The laws of oneport, as tests.

#[cfg(test)]
mod feed;
#[cfg(test)]
mod flights;
#[cfg(test)]
mod hpack;
#[cfg(test)]
mod http1;
#[cfg(test)]
mod split;
#[cfg(test)]
mod tls;
