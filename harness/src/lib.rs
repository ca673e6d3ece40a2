//! Replays scenarios with thousands of simulated clients against any WebSocket server, and judges
//! what they saw.
//!
//! ```text
//! yaml ─► Scenario ─► Plan ─► drive(clients) ─► observations ─► checks ─► Summary ─► reports, exit code
//! ```
//!
//! A straight line of values; only [`drive`] does input and output on sockets.

pub mod books;
pub mod check;
pub mod cli;
pub mod client;
pub mod conform;
pub mod craft;
pub mod dialect;
pub mod drive;
pub mod handshake;
pub mod heard;
pub mod http;
pub mod latency;
pub mod log;
pub mod observe;
pub mod pacer;
pub mod plan;
pub mod proxy;
pub mod report;
pub mod scenario;
pub mod selftest;
pub mod shrink;
pub mod stamp;
pub mod summary;
pub mod verdict;
pub mod wire;
