//! Rules of the source tree.
