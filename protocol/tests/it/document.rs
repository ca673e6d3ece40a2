//! docs/PROTOCOL.md is true: every conversation in it happens so.
