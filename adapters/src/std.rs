//! The adapter for blocking sockets.
