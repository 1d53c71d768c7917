//! The command `oneport`.
mod address;
mod args;
mod config;
mod errors;
mod fault;
mod greeting;
mod limits;
mod log;
mod overlap;
mod route;
mod suggest;
mod table;
mod term;
mod text;
mod units;
fn main() {}
