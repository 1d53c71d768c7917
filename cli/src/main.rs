//! The command `oneport`.
mod address;
mod fault;
mod route;
mod suggest;
mod term;
mod text;
mod units;
fn main() {}
