//! A template to send with, as somebody else reads what was sent.

use super::{Entry, Template};
use crate::scenario::template::Piece;

impl Template {
    /// Whether there is anything in it that is not a hole: else every frame is like it.
    pub(crate) fn says_something(&self) -> bool {
        match self {
            Self::Hole(_) => false,
            Self::Text(pieces) | Self::Line(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Text(_)))
            }
            Self::Json(inner) | Self::AsText(inner) => inner.says_something(),
            _ => true,
        }
    }

    /// The same with anything in place of what is computed, against which nothing can be matched.
    pub(crate) fn loosened(&self) -> Self {
        match self {
            Self::Function(_) | Self::ListOf { .. } => Self::Hole("_".to_owned()),
            Self::List(list) => Self::List(list.iter().map(Self::loosened).collect()),
            Self::Mapping(entries) => {
                let loose =
                    |entry: &Entry| Entry { value: entry.value.loosened(), ..entry.clone() };
                Self::Mapping(entries.iter().map(loose).collect())
            }
            Self::Json(inner) => Self::Json(Box::new(inner.loosened())),
            Self::AsText(inner) => Self::AsText(Box::new(inner.loosened())),
            other => other.clone(),
        }
    }
}
