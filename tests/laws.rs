//! One file per law of connection routing. Laws 11 and 12 are about sockets: the adapters keep them.

mod bounded;
mod exact_return;
mod facts;
mod first_request;
mod looks;
mod malformed;
mod outcome;
mod per_request;
mod priority;
mod progress;
mod refusals;
mod replay;
mod secrets;
mod segmentation;
mod silence;
mod transparent;
