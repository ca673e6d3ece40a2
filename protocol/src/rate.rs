//! How much may come in a second.
