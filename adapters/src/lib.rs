//! oneport.
