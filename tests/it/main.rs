//! The integration tests: one program, a module each for what a user relies on.
//!
//! They run the built `fluxwatch` and the library against real Knot, NSD, BIND, PowerDNS, YADIFA and Postfix, which
//! `tests/install-servers` installs. A test that needs a server and does not find it fails.

#![allow(
    clippy::too_many_lines,
    reason = "a test tells one story, and a reader follows it without leaving it"
)]

mod aliases;
mod anew;
mod arrivals;
mod backtest;
mod benign;
mod book;
mod bounds;
mod browser;
mod campaigns;
mod care;
mod changes;
mod cli;
mod clock_steps;
mod clocks;
mod closings;
mod command_lines;
mod config;
mod console;
mod desk;
mod digests;
mod disk_faults;
mod drift;
mod engines;
mod enrich;
mod equivalence;
mod evaluation;
mod expiry;
mod export;
mod figures;
mod first_steps;
mod flux_on_knot;
mod formats;
mod forms;
mod fuzz;
#[path = "../../data/sample/generator.rs"]
mod generator;
mod guards;
mod identity;
mod interruptions;
mod invariance;
mod isolation;
mod kills;
mod lanes;
mod layers;
mod live;
mod loads;
mod logging;
mod lookups;
mod mail;
mod mail_facts;
mod manual;
mod messages;
mod monitoring;
mod operators;
mod outbox;
mod passive;
mod primaries;
mod probe;
mod pushes;
mod readers;
mod reading;
mod readme;
mod recipients;
mod reference;
mod refusals;
mod rootzone;
mod sample;
#[path = "../scenarios/mod.rs"]
#[allow(dead_code)]
mod scenarios;
mod schema;
mod scripted;
mod service;
mod sights;
mod steps;
mod support;
mod tables;
mod text;
mod transfers;
mod tutorial;
mod upgrade;
mod vantage;
mod withdrawals;
mod words;

use support::{harness, numbers, servers};
