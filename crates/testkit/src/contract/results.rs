//! What every results store must do.
