//! What every control store must do.
