//! Patterns over ids: `*` stands for a part of one component, `**` for any number of components.

use std::fmt;
use std::str::FromStr;

/// A pattern, such as `rooms/*/creates-*` or `rooms/**`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    /// `**`.
    Any,
    /// One component; `*` in it stands for any characters.
    One(String),
}

impl Pattern {
    /// Whether an id is meant.
    pub fn matches(&self, id: &str) -> bool {
        let components: Vec<&str> = id.split('/').collect();
        fits(&self.parts, &components)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |component: &str| match component {
            "" => Err(format!("`{text}` has an empty component")),
            "**" => Ok(Part::Any),
            component if component.contains("**") => {
                Err(format!("`{text}`: `**` stands alone between slashes"))
            }
            component => Ok(Part::One(component.to_owned())),
        };
        let parts = text.split('/').map(part).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), parts })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn fits(parts: &[Part], components: &[&str]) -> bool {
    match (parts, components) {
        ([], []) => true,
        ([Part::Any, rest @ ..], _) => {
            (0..=components.len()).any(|skip| fits(rest, components.get(skip..).unwrap_or(&[])))
        }
        ([Part::One(pattern), rest @ ..], [component, others @ ..]) => {
            like(pattern, component) && fits(rest, others)
        }
        _ => false,
    }
}

/// Whether a component is like a pattern with `*`s in it.
fn like(pattern: &str, component: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == component };
    let Some(rest) = component.strip_prefix(before) else { return false };
    let mut ends = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
    ends.any(|at| rest.get(at..).is_some_and(|rest| like(after, rest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_mean_what_they_say() {
        let cases = [
            ("rooms/join/ack", "rooms/join/ack", true),
            ("rooms/join/ack", "rooms/join/acks", false),
            ("rooms/*/ack", "rooms/join/ack", true),
            ("rooms/*", "rooms/join/ack", false),
            ("rooms/**", "rooms/join/ack", true),
            ("**", "rooms/join/ack", true),
            ("**/ack", "rooms/join/ack", true),
            ("rooms/**/ack", "rooms/ack", true),
            ("*/common-*/ping", "rooms/common-framing/ping", true),
            ("*/common-*/ping", "rooms/framing/ping", false),
            ("COM-*", "COM-12", true),
            ("COM-*", "ROOM-12", false),
            ("*-*-3", "A-B-3", true),
            ("", "rooms", false),
        ];
        for (pattern, id, expected) in cases {
            let matched = pattern.parse::<Pattern>().is_ok_and(|pattern| pattern.matches(id));
            assert_eq!(matched, expected, "{pattern} on {id}");
        }
        for wrong in ["", "rooms//ack", "/rooms", "rooms/a**"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
