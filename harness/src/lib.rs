//! Replays scenarios with thousands of simulated clients against any WebSocket server, and judges
//! what they saw.
//!
//! ```text
//! yaml ─► Scenario ─► Plan ─► drive(clients) ─► observations ─► checks ─► Summary ─► reports, exit code
//! ```
//!
//! A straight line of values; only [`drive`] does input and output on sockets.

pub mod check;
pub mod cli;
pub mod dialect;
pub mod observe;
pub mod plan;
pub mod scenario;
