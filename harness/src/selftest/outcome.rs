//! What came of a mutant in one dialect, from what the runs of its cases found.

use std::fmt;

/// What must be found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Expected {
    /// By which check; none: by whichever.
    pub check: Option<String>,
    /// Of which class.
    pub class: String,
}

impl Expected {
    /// Whether this is it.
    pub fn is(&self, found: &Found) -> bool {
        let by = self.check.as_ref().is_none_or(|check| *check == found.check);
        by && self.class == found.class
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.check {
            Some(check) => write!(f, "{check} / {}", self.class),
            None => f.write_str(&self.class),
        }
    }
}

/// What was found: by which check, of which class.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Found {
    /// The check's name.
    pub check: String,
    /// The class's word.
    pub class: String,
}

impl Found {
    /// A finding of this check.
    pub fn new(check: &str, class: &str) -> Self {
        Self { check: check.to_owned(), class: class.to_owned() }
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.check, self.class)
    }
}

/// One word for what came of a mutant in one dialect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Fate {
    /// It was found out, as what it is.
    Right,
    /// It was found out, as something else.
    Other,
    /// Nobody noticed.
    Survived,
    /// It is not tried: the catalogue says why.
    LeftOut,
    /// Too little was seen, or the harness stood still.
    Inconclusive,
    /// It could not be tried, or the good server fails its case, too.
    Error,
}

/// Every fate, in the order of reports: its word, and what it means.
pub const FATES: [(Fate, &str, &str); 6] = [
    (Fate::Right, "killed_right", "found out, with the expected class"),
    (Fate::Other, "killed_other", "found out, with another class only"),
    (Fate::Survived, "survived", "all of its cases passed"),
    (Fate::LeftOut, "left_out", "not tried, for the reason given: it counts as not found"),
    (Fate::Inconclusive, "inconclusive", "too little traffic, or the harness stood still"),
    (Fate::Error, "error", "it could not be tried, or the good server fails its case, too"),
];

impl Fate {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        FATES.iter().find(|(fate, ..)| *fate == self).map_or("", |(_, word, _)| word)
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What one run of a case says of a mutant.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Says {
    /// Something is wrong: what the run found, the first first.
    Wrong(Vec<Found>),
    /// All is well.
    Well,
    /// Nothing, and why.
    Nothing(String),
    /// The case could not be run, and why.
    Error(String),
}

/// Everything that is said of a mutant in one dialect, case by case.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// What its last case said, and those before it.
    said: Vec<Says>,
    /// How many deliveries there were in all.
    pub deliveries: u64,
}

/// What came of it, and why if that is not plain.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Judged {
    /// The word.
    pub fate: Fate,
    /// Who found it: the expected finding if it is there, else the first.
    pub killed_by: Option<Found>,
    /// All that was found.
    pub found: Vec<Found>,
    /// A sentence, where it is not found out as it should be.
    pub message: String,
}

impl Judged {
    /// The same, where the good server passes the case that it was found out by. What fails there, too,
    /// found nothing out.
    #[must_use]
    pub fn beside_good(self, case: &str, good: Says) -> Self {
        let (fate, why) = match good {
            Says::Well => return self,
            Says::Nothing(why) => (Fate::Inconclusive, why),
            Says::Error(why) => (Fate::Error, why),
            Says::Wrong(found) => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                (Fate::Error, format!("it fails: {}", found.join(", ")))
            }
        };
        let message = format!("{case} at the good server: {why}");
        Self { fate, killed_by: None, message, ..self }
    }
}

impl Account {
    /// Takes in what a case says, and how many deliveries it saw. Whether that was the last word:
    /// what was found out once is.
    pub fn add(&mut self, says: Says, deliveries: u64) -> bool {
        self.deliveries += deliveries;
        let last = matches!(says, Says::Wrong(_));
        self.said.push(says);
        last
    }

    /// What came of it all, where so many deliveries are needed at least.
    pub fn judge(&self, expected: &Expected, deliveries: u64) -> Judged {
        let only =
            |fate, message: String| Judged { fate, killed_by: None, found: Vec::new(), message };
        if let Some(Says::Wrong(found)) = self.said.last() {
            let right = found.iter().find(|found| expected.is(found));
            let fate = if right.is_some() { Fate::Right } else { Fate::Other };
            let message = match fate {
                Fate::Right => String::new(),
                _ => format!("{expected} was expected"),
            };
            let killed_by = right.or_else(|| found.first()).cloned();
            return Judged { fate, killed_by, found: found.clone(), message };
        }
        let error = self.said.iter().find_map(|says| match says {
            Says::Error(why) => Some(why.clone()),
            _ => None,
        });
        if let Some(why) = error {
            return only(Fate::Error, why);
        }
        let nothing = self.said.iter().find_map(|says| match says {
            Says::Nothing(why) => Some(why.clone()),
            _ => None,
        });
        match nothing {
            Some(why) => only(Fate::Inconclusive, why),
            None if self.said.is_empty() => {
                only(Fate::Error, "none of its cases is there".to_owned())
            }
            None if self.deliveries < deliveries => {
                let seen = self.deliveries;
                only(Fate::Inconclusive, format!("{seen} deliveries, and {deliveries} are needed"))
            }
            None => only(Fate::Survived, "all of its cases passed".to_owned()),
        }
    }
}
