//! What must not stand in a report: passwords, and what servers gave out in exchange for them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use url::form_urlencoded::byte_serialize;

use super::Books;
use crate::observe::What;
use crate::plan::Vars;

/// A value is secret when its name has one of these in it, in whatever case.
const NAMES: [&str; 8] =
    ["pass", "secret", "token", "ticket", "credential", "apikey", "api_key", "jwt"];
/// What is shown instead; also where a text was cut.
const SHOWN: char = '…';
/// Shorter secrets are not looked for, nor shorter pieces of one: they stand in every other word.
const HEAD: usize = 4;
/// So many are kept. A server may give out a new one with every frame.
const KEPT_MAX: usize = 200_000;

/// Secret values, by their first bytes.
#[derive(Debug, Default)]
pub(crate) struct Secrets {
    by_head: HashMap<[u8; HEAD], Vec<Arc<str>>>,
    count: usize,
}

impl Secrets {
    /// Keeps the values that have the name of a secret, those inside of mappings too.
    pub(crate) fn learn(&mut self, vars: &Vars) {
        vars.iter().for_each(|(name, value)| self.learn_one(name, value));
    }

    /// Keeps a value if it has the name of a secret.
    pub(crate) fn learn_one(&mut self, name: &str, value: &Value) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| self.learn_one(name, value));
            }
            Value::String(text) if is_secret(name) => self.keep(text),
            Value::Number(number) if is_secret(name) => self.keep(&number.to_string()),
            _ => {}
        }
    }

    /// Keeps a secret, as it is and as it stands in JSON and in a form.
    pub(super) fn keep(&mut self, secret: &str) {
        let quoted = Value::from(secret).to_string();
        let encoded: String = byte_serialize(secret.as_bytes()).collect();
        for form in [secret, quoted.trim_matches('"'), &encoded] {
            let Some(head) = form.as_bytes().first_chunk::<HEAD>() else { continue };
            let alike = self.by_head.entry(*head).or_default();
            if self.count < KEPT_MAX && !alike.iter().any(|known| **known == *form) {
                alike.push(form.into());
                self.count += 1;
            }
        }
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.count > 0
    }

    /// A text in which no secret stands, nor the beginning of one where the text was cut.
    pub(crate) fn concealed<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.count == 0 {
            return Cow::Borrowed(text);
        }
        let (mut shown, mut rest, mut found) = (String::new(), text, false);
        while let Some(first) = rest.chars().next() {
            let len = self.secret_at(rest);
            found |= len.is_some();
            shown.push(if len.is_some() { SHOWN } else { first });
            rest = rest.get(len.unwrap_or_else(|| first.len_utf8())..).unwrap_or_default();
        }
        if found { Cow::Owned(shown) } else { Cow::Borrowed(text) }
    }

    /// The length of the secret that a text begins with.
    fn secret_at(&self, text: &str) -> Option<usize> {
        let alike = self.by_head.get(text.as_bytes().first_chunk::<HEAD>()?)?;
        let whole = alike.iter().filter(|secret| text.starts_with(&***secret));
        let cut = text.split_once(SHOWN).map(|(before, _)| before);
        let cut = cut.filter(|cut| cut.len() >= HEAD && alike.iter().any(|it| it.starts_with(cut)));
        whole.map(|secret| secret.len()).chain(cut.map(|cut| cut.len() + SHOWN.len_utf8())).max()
    }
}

impl Books {
    /// From now on, the values here that have the name of a secret are shown nowhere.
    pub fn keep_secrets(&mut self, vars: &Vars) {
        self.secrets.learn(vars);
    }

    /// From now on, this value is shown nowhere if it has the name of a secret.
    pub fn keep_secret(&mut self, name: &str, value: &Value) {
        self.secrets.learn_one(name, value);
    }

    /// From now on, this is shown nowhere, whatever it is called.
    pub fn conceal(&mut self, secret: &str) {
        self.secrets.keep(secret);
    }

    /// An observation whose words may stand in a report.
    pub(super) fn discreet(&self, mut what: What) -> What {
        let words = match &mut what {
            What::Complaint { code } => code,
            What::Unknown { text } | What::Stray { text, .. } => text,
            What::Garbled { fact } => fact,
            What::OpenFailed { reason } => reason,
            _ => return what,
        };
        if let Cow::Owned(concealed) = self.secrets.concealed(words) {
            *words = concealed.into();
        }
        what
    }
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.learn(&Vars::from([
            ("user".to_owned(), json!({"login": "keeper", "Password": "a \"b\"&c", "pass": "x"})),
            ("token".to_owned(), json!("tok-12345")),
            ("room".to_owned(), json!("lobby")),
        ]));
        secrets
    }

    #[test]
    fn secrets_are_told_by_their_names_and_found_in_every_form() {
        for (text, shown) in [
            (r#"{"user":"keeper","password":"a \"b\"&c"}"#, r#"{"user":"keeper","password":"…"}"#),
            ("password=a+%22b%22%26c&room=lobby", "password=…&room=lobby"),
            ("Bearer tok-12345, tok-12345", "Bearer …, …"),
            ("x marks it", "x marks it"),
            ("tok-1234", "tok-1234"),
        ] {
            assert_eq!(secrets().concealed(text), shown);
        }
    }

    #[test]
    fn a_secret_that_was_cut_is_concealed_up_to_there() {
        assert_eq!(secrets().concealed("(http: {\"token\":\"tok-12…)"), "(http: {\"token\":\"…)");
        assert_eq!(secrets().concealed("tok…"), "tok…");
    }

    proptest! {
        #[test]
        fn a_secret_stands_nowhere(secret in "[a-z]{4,6}", around in "\\PC{0,20}", at in 0_usize..20) {
            let mut secrets = Secrets::default();
            secrets.keep(&secret);
            let mut text = around;
            let at = text.char_indices().map(|(at, _)| at).nth(at).unwrap_or(text.len());
            text.insert_str(at, &secret);
            prop_assert!(!secrets.concealed(&text).contains(&secret));
        }
    }
}
