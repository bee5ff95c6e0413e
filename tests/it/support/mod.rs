//! What several tests need: benches, real servers, made data, and readers that are not ours.

pub mod clocks;
pub mod desk;
pub mod feeds;
pub mod harness;
pub mod kills;
pub mod lookups;
pub mod numbers;
pub mod proxy;
pub mod rows;
pub mod sample;
pub mod scripted;
#[allow(dead_code)]
pub mod servers;
pub mod smtp;
pub mod sources;
pub mod stores;
pub mod wait;
