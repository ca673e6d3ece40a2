//! The other direction of sending: what a client's frame asks for, as somebody between it and its
//! server reads it.

use serde_json::Value;
use url::form_urlencoded;

use super::template::Template;
use super::{Dialect, Frames, Verb};
use crate::plan::Vars;
use crate::scenario::template::pieces;

impl Dialect {
    /// Whether a client can ask for this.
    pub fn asks(&self, verb: Verb) -> bool {
        self.send.contains_key(&verb)
    }

    /// The request that a client's frame is, and what stands in its holes; none when it is not like
    /// any. Of several frames that are one request together, each is it.
    pub fn asked(&self, text: &str) -> Option<(Verb, Vars)> {
        let value = self.parsed(text).ok()?;
        self.send.iter().find_map(|(verb, ways)| {
            let templates = ways.iter().flat_map(|way| match &way.frames {
                Frames::Each(templates) => templates.as_slice(),
                Frames::Of(_) => &[],
            });
            let bound = templates
                .filter(|it| it.says_something())
                .find_map(|template| template.loosened().settled(&self.params).matched(&value));
            bound.map(|vars| (*verb, vars))
        })
    }

    /// What stands in the holes of the upgrade's path, if this path is of the dialect.
    pub fn of_path(&self, path: &str) -> Vars {
        let template = Template::Line(pieces(&self.connect.path)).settled(&self.params);
        let bound = template.matched(&Value::from(path)).unwrap_or_default();
        bound.into_iter().map(|(name, value)| (name, decoded(value))).collect()
    }
}

/// A value without percent-encoding.
fn decoded(value: Value) -> Value {
    let Value::String(text) = &value else { return value };
    let field = format!("x={}", text.replace('+', "%2B"));
    let plain = form_urlencoded::parse(field.as_bytes()).next();
    plain.map_or(Value::Null, |(_, plain)| Value::from(plain.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(dialect: &str, text: &str) -> Option<(&'static str, Value)> {
        let (verb, vars) = Dialect::shipped(dialect).unwrap().asked(text)?;
        Some((verb.as_str(), Value::Object(vars.into_iter().collect())))
    }

    #[test]
    fn a_clients_frame_is_the_request_that_it_is() {
        for (dialect, text, verb) in [
            ("native", r#"{"type":"name","id":1,"username":"bo"}"#, Some("name")),
            ("native", r#"{"type":"chat","id":1,"room":"r","text":"x"}"#, Some("say")),
            ("native", r#"{"type":"join","id":1,"room":"r"}"#, Some("join")),
            ("native", r#"{"type":"nothing"}"#, None),
            ("native", "no JSON", None),
            ("chat", r#"{"type":"set_username","username":"bo"}"#, Some("name")),
        ] {
            assert_eq!(asked(dialect, text).map(|(verb, _)| verb), verb, "{dialect}: {text}");
        }
        let (_, holes) = asked("native", r#"{"type":"name","id":1,"username":"bo"}"#).unwrap();
        assert_eq!(holes["username"], "bo");
    }

    #[test]
    fn a_path_says_what_stands_in_its_holes() {
        let text = "dialect: d\nconnect: { path: \"/ws/$room?as=$me\" }\nsend: {}\n";
        let dialect = Dialect::parse("d", text).unwrap();
        let vars = dialect.of_path("/ws/a%20room?as=bo");
        assert_eq!((&vars["room"], &vars["me"]), (&Value::from("a room"), &Value::from("bo")));
        assert!(dialect.of_path("/other").is_empty());
    }
}
