//! What a run comes to: its verdict, and the one table of exit codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is said of a check, a threshold, or a whole run.
///
/// The order is that of gravity: of several verdicts the greatest one stands for all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It was not looked at.
    Skipped,
    /// All that was promised was kept.
    Passed,
    /// Nothing can be said: nothing was judged, or the harness itself was too late.
    Inconclusive,
    /// A promise was broken.
    Failed,
}

impl Verdict {
    /// The word in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Passed => "passed",
            Self::Inconclusive => "inconclusive",
            Self::Failed => "failed",
        }
    }

    /// The gravest of several; of none: inconclusive, because nothing was judged.
    pub fn gravest(verdicts: impl IntoIterator<Item = Self>) -> Self {
        verdicts.into_iter().max().unwrap_or(Self::Inconclusive)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a command ends, as a script sees it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Exit {
    /// Everything held.
    Passed,
    /// A check, a case or a threshold failed.
    Failed,
    /// The command line or a file is wrong.
    Usage,
    /// The run could not take place: no target, limits too low, an error of the harness.
    CouldNotRun,
    /// Nothing can be said, or a part is missing.
    Inconclusive,
    /// The report cannot be written.
    Report,
    /// SIGINT came; what was seen until then is reported.
    Interrupted,
    /// SIGTERM came; what was seen until then is reported.
    Terminated,
}

/// Every exit code with its meaning. The only place that knows the numbers; `--help` reads it too.
pub const EXITS: [(Exit, u8, &str); 8] = [
    (Exit::Passed, 0, "passed"),
    (Exit::Failed, 1, "a check, case or threshold failed"),
    (Exit::Usage, 2, "usage or file error"),
    (Exit::CouldNotRun, 3, "could not run: target unreachable, limits too low, own error"),
    (Exit::Inconclusive, 4, "inconclusive or incomplete"),
    (Exit::Report, 5, "the report cannot be written"),
    (Exit::Interrupted, 130, "interrupted (SIGINT); the report is partial"),
    (Exit::Terminated, 143, "terminated (SIGTERM); the report is partial"),
];

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        EXITS.iter().find(|(exit, ..)| *exit == self).map_or(3, |(_, code, _)| *code)
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Failed => Self::Failed,
            // A run of which all was skipped has shown nothing.
            Verdict::Inconclusive | Verdict::Skipped => Self::Inconclusive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_verdict_stands_for_all() {
        use Verdict::{Failed, Inconclusive, Passed, Skipped};
        let cases: [(&[Verdict], Verdict); 6] = [
            (&[], Inconclusive),
            (&[Passed, Skipped], Passed),
            (&[Skipped, Skipped], Skipped),
            (&[Passed, Inconclusive], Inconclusive),
            (&[Inconclusive, Failed, Passed], Failed),
            (&[Passed], Passed),
        ];
        for (verdicts, expected) in cases {
            assert_eq!(Verdict::gravest(verdicts.iter().copied()), expected, "{verdicts:?}");
        }
    }

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        let codes: Vec<u8> = EXITS.iter().map(|(exit, ..)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 130, 143]);
        assert_eq!(Exit::from(Verdict::Skipped).code(), 4);
    }
}
