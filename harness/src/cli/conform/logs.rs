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

/// Where they go.
#[derive(Debug)]
pub(in crate::cli) struct Logs {
    place: Place,
    bytes: u64,
    begun: AtomicU64,
    kept: AtomicU64,
    /// Held while a log gets its name: a case may fail at two targets at once.
    naming: Mutex<()>,
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
        Self {
            place,
            bytes,
            begun: AtomicU64::default(),
            kept: AtomicU64::default(),
            naming: Mutex::default(),
        }
    }

    /// Up to how many bytes each is whole.
    pub(in crate::cli) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The log of a try that begins. Without one the try says the same.
    pub(in crate::cli) fn begin(&self) -> Option<CaseLog> {
        if self.bytes == 0 || self.kept.load(Ordering::Relaxed) >= KEPT_MAX {
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
        let number = self.kept.fetch_add(1, Ordering::Relaxed);
        // A case may fail at several targets.
        let names = [format!("{stem}.ndjson"), format!("{stem}.{number}.ndjson")];
        let directory = log.path.parent()?.to_path_buf();
        let _naming = self.naming.lock();
        let name = names.into_iter().find(|name| !directory.join(name).exists())?;
        match fs::rename(&log.path, directory.join(&name)) {
            Ok(()) => Some(format!("{CASES}/{name}")),
            Err(error) => {
                tracing::warn!(%error, "the log of a case");
                None
            }
        }
    }

    /// Puts what was kept into its place.
    pub(in crate::cli) fn end(&self) -> Result<(), WriteError> {
        self.place.keep_directory(CASES)
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
