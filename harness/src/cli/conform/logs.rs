//! The logs of cases: what the clients of each did and saw, kept of those that fail.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::log::CASES;
use crate::report::write::{Place, WriteError};

/// Up to this size the log of a case is kept whole.
const BYTES: u64 = 4 << 20;
/// So many are kept: who has more failures than that begins with the first.
const KEPT_MAX: u64 = 100;
/// How their names end.
const ENDING: &str = "ndjson";

/// Where they go.
#[derive(Debug)]
pub(in crate::cli) struct Logs {
    place: Place,
    bytes: u64,
    begun: AtomicU64,
    /// How many are kept. Two of one case that are kept at once have two names.
    kept: Mutex<u64>,
}

/// The log of one try. It is gone with this value, unless it is kept.
#[derive(Debug)]
pub(in crate::cli) struct CaseLog {
    path: PathBuf,
    file: File,
}

impl CaseLog {
    pub(in crate::cli) fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for CaseLog {
    fn drop(&mut self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::debug!(%error, "{} stays", self.path.display());
            }
            _ => {}
        }
    }
}

impl Logs {
    /// Logs of so many bytes each, below a report.
    pub(in crate::cli) fn new(place: &Place, bytes: Option<u64>) -> Self {
        let (bytes, place) = (bytes.unwrap_or(BYTES), place.clone());
        Self { place, bytes, begun: AtomicU64::new(0), kept: Mutex::new(0) }
    }

    /// Up to how many bytes each is whole.
    pub(in crate::cli) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The log of a try that begins. Without one the try says the same.
    pub(in crate::cli) fn begin(&self) -> Option<CaseLog> {
        if self.bytes == 0 || *self.kept.lock() >= KEPT_MAX {
            return None;
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let begun = self.place.begin_directory(CASES).and_then(|directory| {
            let path = directory.join(format!(".{number}.tmp"));
            File::create(&path).map(|file| CaseLog { path, file })
        });
        begun.inspect_err(|error| tracing::warn!(%error, "the log of a case")).ok()
    }

    /// Keeps a log as that of a case; says where in the report it lies.
    pub(in crate::cli) fn keep(&self, log: &CaseLog, case: &str) -> Option<String> {
        let stem = case.replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', ".");
        let directory = log.path.parent()?;
        let mut kept = self.kept.lock();
        if *kept >= KEPT_MAX {
            return None;
        }
        // A case may fail at several targets.
        let names = [format!("{stem}.{ENDING}"), format!("{stem}.{kept}.{ENDING}")];
        let name = names.into_iter().find(|name| !directory.join(name).exists())?;
        match fs::rename(&log.path, directory.join(&name)) {
            Ok(()) => {
                *kept += 1;
                Some(format!("{CASES}/{name}"))
            }
            Err(error) => {
                tracing::warn!(%error, "the log of a case");
                None
            }
        }
    }

    /// Puts what was kept into its place.
    pub(in crate::cli) fn end(&self) -> Result<(), WriteError> {
        self.place.keep_directory(CASES, ENDING)
    }
}

/// A suite that comes to no report leaves no logs.
impl Drop for Logs {
    fn drop(&mut self) {
        if let Err(error) = self.place.discard_directory(CASES) {
            tracing::debug!(%error, "logs of cases stay");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn logs_that_are_kept_at_once_have_names_of_their_own_and_there_is_an_end_to_them() {
        let base = tempfile::tempdir().expect("a directory");
        let place = Place::prepare(Some(base.path()), Path::new("."), "x").expect("writable");
        let logs = Logs::new(&place, None);
        let all: Vec<CaseLog> = (0..KEPT_MAX + 20).filter_map(|_| logs.begin()).collect();
        let names = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for some in all.chunks(15) {
                let (logs, names) = (&logs, &names);
                scope.spawn(move || {
                    for log in some {
                        names.lock().extend(logs.keep(log, "native/a/b"));
                    }
                });
            }
        });
        let names = names.into_inner();
        assert_eq!(names.len() as u64, KEPT_MAX);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len() as u64, KEPT_MAX);
        drop(all);
        logs.end().expect("kept");
        assert!(names.iter().all(|name| base.path().join(name).is_file()), "{names:?}");
    }
}
