//! Storage.
/// Storage.
#[derive(Debug, Default)]
pub(crate) struct Storage {}
