//! One story for each rule.

mod again;
mod bodies;
mod credit;
mod drain;
mod failure;
mod limits;
mod malformed;
mod opening;
mod requests;
mod times;
