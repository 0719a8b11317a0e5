//! Backends of the results store.
