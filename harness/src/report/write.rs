//! Writes a report directory: all of it or nothing, and found impossible before the load where
//! that can be known.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::{hdr, json, junit, markdown, text};
use crate::latency::METRICS;
use crate::log;
use crate::summary::Summary;

/// The newest report in the default place.
const LATEST: &str = "latest";
/// Where GitHub wants the summary of a job, and how much of it, over all of its steps.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
const STEP_SUMMARY_MAX: u64 = 1024 * 1024;

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

impl WriteError {
    fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self.error.kind(), StorageFull | QuotaExceeded)
    }
}

/// A place where a report will lie, seen to be writable.
#[derive(Clone, Debug)]
pub struct Place {
    directory: PathBuf,
    /// The link to the newest report, in the default place.
    latest: Option<PathBuf>,
}

impl Place {
    /// Takes the directory that the user named, or `reports/<scenario>-<UTC time>/` below `base`.
    /// Tries whether files can be written there; a run that does not come to a report leaves nothing
    /// behind but parent directories.
    pub fn prepare(named: Option<&Path>, base: &Path, run: &str) -> Result<Self, WriteError> {
        let place = match named {
            Some(directory) => Self { directory: directory.to_path_buf(), latest: None },
            None => {
                let reports = base.join("reports");
                Self { directory: reports.join(run), latest: Some(reports.join(LATEST)) }
            }
        };
        place.try_out().map_err(|error| place.error(error))?;
        Ok(place)
    }

    /// Where the report lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Puts a run's log in its place, if one was begun, and writes all formats. A report is worth more
    /// than a log that has filled the disk.
    pub fn write_with_log(&self, summary: &mut Summary) -> Result<(), WriteError> {
        if let Some(kept) = &mut summary.log
            && let Err(error) = self.keep(log::FILE)
        {
            kept.why = Some(format!("the log cannot be put in its place: {error}"));
            // Neither this one nor that of an earlier run, which would be taken for this one.
            self.discard(log::FILE);
        }
        match (self.write(summary), &mut summary.log) {
            (Err(error), Some(kept)) if error.is_full() => {
                self.discard(log::FILE);
                kept.why = Some("the log had filled the disk, and was removed".to_owned());
                self.write(summary)
            }
            (written, _) => written,
        }
    }

    /// Writes all formats of a run. Without a log of its own, none stays: it would be another's.
    pub fn write(&self, summary: &Summary) -> Result<(), WriteError> {
        if summary.log.is_none() {
            self.discard(log::FILE);
        }
        let mut files = hdr::files(summary);
        let markdown = markdown::render(summary);
        files.push(("summary.txt".to_owned(), text::render(summary).into_bytes()));
        files.push(("summary.md".to_owned(), markdown.clone().into_bytes()));
        files.push(("junit.xml".to_owned(), junit::render(summary).into_bytes()));
        // Last, so that a reader who finds it finds all the others, too.
        files.push(("run.json".to_owned(), json::render(summary).into_bytes()));
        self.write_files(&files, &markdown)
    }

    /// Writes files, of which the last tells that all are there. A report that lay there before is
    /// whole until the new one is. The page goes where GitHub wants the summary of a job, too.
    pub fn write_files(
        &self,
        files: &[(String, Vec<u8>)],
        markdown: &str,
    ) -> Result<(), WriteError> {
        self.replace(files).map_err(|error| self.error(error))?;
        if let Err(error) = self.link() {
            tracing::warn!(%error, "the link to the newest report");
        }
        if let Some(path) = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty())
            && let Err(error) = append(Path::new(&path), markdown)
        {
            tracing::warn!(%error, "{STEP_SUMMARY}");
        }
        Ok(())
    }

    /// A file that is written while the run goes on, for the case that the run comes to no report.
    /// [`Place::write_files`] puts the whole file of this name in its place.
    pub fn begin(&self, name: &str) -> Result<File, WriteError> {
        let opened =
            fs::create_dir_all(&self.directory).and_then(|()| File::create(self.temporary(name)));
        opened.map_err(|error| self.error(error))
    }

    /// Adds a file to a report that has been written, in a directory of the report if it is named so.
    pub fn add(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, WriteError> {
        let path = self.directory.join(name);
        let parent = path.parent().unwrap_or(&self.directory);
        let temporary = self.temporary("added");
        let moved = fs::create_dir_all(parent)
            .and_then(|()| write_synced(&temporary, bytes))
            .and_then(|()| fs::rename(&temporary, &path));
        moved.map_err(|error| self.error(error))?;
        Ok(path)
    }

    /// Puts a file that was begun in its place.
    fn keep(&self, name: &str) -> io::Result<()> {
        let temporary = self.temporary(name);
        File::open(&temporary)?.sync_all()?;
        fs::rename(temporary, self.directory.join(name))
    }

    /// Removes a file that was begun, wherever it is now.
    fn discard(&self, name: &str) {
        for path in [self.temporary(name), self.directory.join(name)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(%error, "{} stays", path.display());
                }
                _ => {}
            }
        }
    }

    /// A directory for files that are written while the run goes on.
    pub fn begin_directory(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.temporary(name);
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// Puts the files of a directory that was begun in their place, instead of those with this ending
    /// that are there from an earlier report. What else is there is the user's and stays.
    pub fn keep_directory(&self, name: &str, ending: &str) -> Result<(), WriteError> {
        let (begun, place) = (self.temporary(name), self.directory.join(name));
        let replaced = || {
            for path in files_in(&place)? {
                if path.extension().is_some_and(|it| it == ending) {
                    fs::remove_file(path)?;
                }
            }
            for path in files_in(&begun)? {
                fs::create_dir_all(&place)?;
                fs::rename(&path, place.join(path.file_name().unwrap_or_default()))?;
            }
            for directory in [begun, place] {
                // One that is not empty is the user's.
                fs::remove_dir(directory).ok();
            }
            Ok(())
        };
        replaced().map_err(|error| self.error(error))
    }

    /// Removes a directory that was begun and not kept.
    pub fn discard_directory(&self, name: &str) -> io::Result<()> {
        let begun = self.temporary(name);
        if begun.exists() { fs::remove_dir_all(begun) } else { Ok(()) }
    }

    fn error(&self, error: io::Error) -> WriteError {
        WriteError { path: self.directory.clone(), error }
    }

    fn try_out(&self) -> io::Result<()> {
        let is_new = !self.directory.exists();
        fs::create_dir_all(&self.directory)?;
        let probe = self.temporary("probe");
        write_synced(&probe, b"probe")?;
        fs::remove_file(&probe)?;
        if is_new {
            fs::remove_dir(&self.directory)?;
        }
        Ok(())
    }

    /// A name beside the report's files that no other process uses.
    fn temporary(&self, name: &str) -> PathBuf {
        self.directory.join(format!(".{name}.{}.tmp", std::process::id()))
    }

    fn replace(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let written =
            files.iter().try_for_each(|(name, bytes)| write_synced(&self.temporary(name), bytes));
        let moved = written.and_then(|()| {
            files.iter().try_for_each(|(name, _)| {
                fs::rename(self.temporary(name), self.directory.join(name))
            })
        });
        if moved.is_err() {
            for (name, _) in files {
                // It may never have been written, and the first error is the one to tell.
                fs::remove_file(self.temporary(name)).ok();
            }
            return moved;
        }
        self.remove_stale(files)?;
        File::open(&self.directory)?.sync_all()
    }

    /// Removes histograms of an earlier report which this run did not measure.
    fn remove_stale(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        for (_, metric, ..) in METRICS {
            for name in [format!("{metric}.hlog"), format!("{metric}.hgrm")] {
                let path = self.directory.join(&name);
                if !files.iter().any(|(written, _)| *written == name) && path.is_file() {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    /// Lets `reports/latest` point here. A file or directory of that name is the user's and stays.
    fn link(&self) -> io::Result<()> {
        let (Some(latest), Some(name)) = (&self.latest, self.directory.file_name()) else {
            return Ok(());
        };
        if fs::symlink_metadata(latest).is_ok_and(|it| !it.is_symlink()) {
            return Ok(());
        }
        let new = latest.with_file_name(format!(".{LATEST}.{}.tmp", std::process::id()));
        std::os::unix::fs::symlink(name, &new)?;
        fs::rename(&new, latest).inspect_err(|_| {
            // The first error is the one to tell.
            fs::remove_file(&new).ok();
        })
    }
}

/// The files in a directory; none if it is not there.
fn files_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let paths: Vec<PathBuf> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.is_file()).collect())
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Appends to GitHub's summary, as long as there is room: it drops the whole page of a step that
/// writes too much.
fn append(path: &Path, markdown: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len() + markdown.len() as u64;
    if size <= STEP_SUMMARY_MAX { file.write_all(markdown.as_bytes()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_a_job_is_appended_to_while_there_is_room() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("summary");
        append(&path, "one\n").expect("created");
        append(&path, "two\n").expect("appended");
        assert_eq!(fs::read_to_string(&path).expect("text"), "one\ntwo\n");
        let full = "x".repeat(1024 * 1024);
        append(&path, &full).expect("left out");
        assert_eq!(fs::metadata(&path).expect("a file").len(), 8);
    }

    #[test]
    fn a_directory_of_logs_takes_the_place_of_earlier_logs_only() {
        let base = tempfile::tempdir().expect("a directory");
        let place = Place::prepare(Some(base.path()), base.path(), "x").expect("writable");
        let logs = base.path().join("logs");
        fs::create_dir_all(logs.join("deep")).expect("created");
        for name in ["access.log", "deep/x.ndjson", "old.ndjson"] {
            fs::write(logs.join(name), "of the user").expect("written");
        }
        let begun = place.begin_directory("logs").expect("begun");
        fs::write(begun.join("new.ndjson"), "a log").expect("written");
        place.keep_directory("logs", "ndjson").expect("kept");
        for (name, is_there) in [
            ("access.log", true),
            ("deep/x.ndjson", true),
            ("old.ndjson", false),
            ("new.ndjson", true),
        ] {
            assert_eq!(logs.join(name).is_file(), is_there, "{name}");
        }
        assert!(!begun.exists());
        fs::remove_file(logs.join("access.log")).expect("removed");
        fs::remove_dir_all(logs.join("deep")).expect("removed");
        place.keep_directory("logs", "ndjson").expect("nothing to be kept");
        assert!(!logs.exists());
    }
}
