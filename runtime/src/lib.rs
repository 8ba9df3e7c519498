//! One event loop on one thread.
