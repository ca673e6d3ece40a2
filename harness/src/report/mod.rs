//! Reports: one pure function per format, all from one [`Summary`](crate::summary::Summary).

pub mod text;
pub mod write;
