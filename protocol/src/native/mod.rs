//! The native protocol, `tidemark.v1`: all about its wire, and nothing else (docs/PROTOCOL.md).

mod act;
mod incoming;
mod outgoing;
mod refusal;
mod session;

pub(crate) use act::CODE_SIGN;
pub use session::Session;

/// The subprotocol that clients may ask for in the handshake.
pub const SUBPROTOCOL: &str = "tidemark.v1";
