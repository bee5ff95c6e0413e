//! What several tests need: the bench, the real servers, seeded numbers.

pub mod harness;
pub mod numbers;
#[allow(dead_code)]
pub mod servers;
