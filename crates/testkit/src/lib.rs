//! For tests: sample interactions and rows, a clock set by hand, and the contract suites of the ports.
pub mod clock;
pub mod contract;
pub mod samples;
