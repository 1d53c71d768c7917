//! What is measured, as plain functions; the programs in `bin/` put a clock, a counter or a socket around them.
//!
//! Times are worth something only beside those of another program in the same moment. So there is no harness in here that runs by
//! itself: `benches/run` asks this program and its peers for one short sample at a time, in turn, and compares neighbours.

pub mod blocks;
pub mod cases;
pub mod crawl;
pub mod flights;
pub mod http2;
pub mod life;
pub mod lists;
pub mod recode;
pub mod sample;
pub mod service;
pub mod split;
