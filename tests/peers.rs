//! Strict peers on both sides of the mux.
