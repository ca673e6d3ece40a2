//! Steps below the dialect as users run them: each passes where it should, and fails with the right
//! class and words where it should not.

#![expect(clippy::indexing_slicing, reason = "a JSON value that is not there is null")]

mod faulty;
mod frames;
mod http;
mod runs;
mod servers;
mod values;
