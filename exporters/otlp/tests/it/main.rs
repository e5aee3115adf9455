//! The exporter against a collector that fails in every way it can.
//!
//! What counts is what the peer got, and that every ack is finished once; what the exporter itself
//! says is not asked.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod aggregation;
mod config;
mod delivery;
mod faults;
mod grpc;
mod support;
