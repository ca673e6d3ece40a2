//! Reports: one pure function per format, all from one value: a run's
//! [`Summary`](crate::summary::Summary), or a suite's [`Results`](crate::conform::results::Results).

pub mod conform;
pub mod hdr;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod selftest;
pub mod text;
pub mod why;
pub mod words;
pub mod write;
