//! Reports: one pure function per format, all from one [`Summary`](crate::summary::Summary).

pub mod hdr;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod text;
pub mod why;
pub mod words;
pub mod write;
