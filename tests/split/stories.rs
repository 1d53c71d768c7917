//! One story for each rule.

mod bodies;
mod drain;
mod failure;
mod limits;
mod malformed;
mod opening;
mod requests;
