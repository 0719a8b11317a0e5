//! For tests: sample interactions and rows, a clock set by hand, a fake provider over HTTP, and the contract suites of the ports.

pub mod clock;
pub mod contract;
pub mod provider;
pub mod samples;
