//! Writes a report directory: all of it or nothing, and found impossible before the load where
//! that can be known.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{hdr, json, junit, markdown, text};
use crate::latency::Metric;
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
    latest: Option<PathBuf>,
}

impl Place {
    /// Takes the directory that the user named, or `reports/<run>/` below `base`, to which
    /// `reports/latest` will point. Fails now rather than after the load if the path is a file, or
    /// cannot be written to.
    pub fn prepare(named: Option<&Path>, base: &Path, run: &str) -> Result<Self, WriteError> {
        let directory = named.map_or_else(|| base.join("reports").join(run), Path::to_path_buf);
        let latest = named.is_none().then(|| base.join("reports").join("latest"));
        let failed = |error| WriteError { path: directory.clone(), error };
        match fs::metadata(&directory) {
            Ok(there) if !there.is_dir() => {
                let error = io::Error::new(io::ErrorKind::NotADirectory, "there is a file");
                return Err(failed(error));
            }
            Ok(_) | Err(_) => {}
        }
        fs::create_dir_all(&directory).map_err(failed)?;
        // Only writing shows that writing is allowed: rights, a full disk, a read-only mount.
        let probe = directory.join(".probe");
        fs::write(&probe, b"x").and_then(|()| fs::remove_file(&probe)).map_err(failed)?;
        Ok(Self { directory, latest })
    }

    /// Where the report lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes all formats. Every file appears whole, `run.json` last: a report that has one is
    /// complete.
    pub fn write(&self, summary: &Summary) -> Result<(), WriteError> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |error| WriteError { path, error }
        };
        for (name, content) in files(summary).map_err(at(&self.directory))? {
            let path = self.directory.join(name);
            let part = self.directory.join(format!(".{name}.part"));
            fs::write(&part, content).and_then(|()| fs::rename(&part, &path)).map_err(at(&path))?;
        }
        if let Some(latest) = &self.latest {
            self.link(latest).map_err(at(latest))?;
        }
        Ok(())
    }

    #[cfg(unix)]
    fn link(&self, latest: &Path) -> io::Result<()> {
        let Some(name) = self.directory.file_name() else { return Ok(()) };
        let part = latest.with_extension("part");
        match fs::remove_file(&part) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        std::os::unix::fs::symlink(name, &part)?;
        fs::rename(&part, latest)
    }

    #[cfg(not(unix))]
    fn link(&self, latest: &Path) -> io::Result<()> {
        fs::write(latest, self.directory.to_string_lossy().as_bytes())
    }
}

fn files(summary: &Summary) -> io::Result<Vec<(&'static str, Vec<u8>)>> {
    let started = started(summary);
    let took = Duration::try_from_secs_f64(summary.duration_s).unwrap_or_default();
    let junit = junit::render(summary).map_err(io::Error::other)?;
    let mut files = vec![
        ("result.txt", text::render(summary).into_bytes()),
        ("junit.xml", junit.into_bytes()),
        ("summary.md", markdown::render(summary).into_bytes()),
        ("times.hlog", hdr::hlog(&summary.measured, started, took)?),
    ];
    if let Some(spectrum) = hdr::hgrm(&summary.measured, Metric::DeliverLatency) {
        files.push(("deliver.latency.hgrm", spectrum.into_bytes()));
    }
    let mut run = serde_json::to_vec_pretty(&json::render(summary))?;
    run.push(b'\n');
    files.push(("run.json", run));
    Ok(files)
}

fn started(summary: &Summary) -> SystemTime {
    let stamp: Option<jiff::Timestamp> = summary.started.parse().ok();
    stamp.map_or(SystemTime::UNIX_EPOCH, SystemTime::from)
}
