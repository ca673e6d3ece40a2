//! The words of a message, before they are chosen.

/// What is to be said.
#[derive(Clone, Copy, Debug)]
pub enum Wording<'a> {
    /// This text.
    Fixed(&'a str),
    /// A stamped text of so many bytes.
    Stamped(usize),
    /// A stamped text that only proves that what was before it has come.
    Fence,
}
