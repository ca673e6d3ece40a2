//! A directory of the run's own, for a server that keeps its data on disk.

use std::io;
use std::path::{Path, PathBuf};

/// The word that stands for it in the server's arguments.
const WORD: &str = "$scratch";
/// More runs of one name have never left their directories behind: their names follow from their
/// seeds, and where processes are few, their numbers come again.
const OTHERS_MAX: u32 = 1_000;

/// A directory that is gone with this value.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Fills the arguments of a run's server; makes the directory if one of them names it.
    pub(super) fn fill(args: &mut [String], run: &str) -> io::Result<Option<Self>> {
        let mut scratch = None;
        for arg in args {
            if arg.contains(WORD) {
                let made = match scratch.take() {
                    Some(made) => made,
                    None => Self::make(run)?,
                };
                *arg = arg.replace(WORD, &made.0.display().to_string());
                scratch = Some(made);
            }
            *arg = arg.replace("$run", run);
        }
        Ok(scratch)
    }

    fn make(run: &str) -> io::Result<Self> {
        let name = format!("tidemark-{run}-{}", std::process::id());
        let first = std::env::temp_dir().join(&name);
        let others = (2..=OTHERS_MAX).map(|n| first.with_file_name(format!("{name}-{n}")));
        let mut made = Err(io::ErrorKind::AlreadyExists.into());
        for path in std::iter::once(first.clone()).chain(others) {
            made = std::fs::create_dir(&path).map(|()| Self(path));
            if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
        }
        made
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        if let Err(error) = std::fs::remove_dir_all(path) {
            tracing::debug!(%error, "{} stays", path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_directory_stands_for_the_word_and_goes_with_the_run() {
        let args = ["--data", "$scratch/a", "--static", "$scratch", "--name", "x-$run"];
        let mut args: Vec<String> = args.map(str::to_owned).into();
        let scratch = Scratch::fill(&mut args, "abc").unwrap().expect("it is named");
        let path = scratch.0.clone();
        assert!(path.is_dir());
        let shown = path.display();
        assert_eq!(
            args[1..],
            [
                format!("{shown}/a"),
                "--static".into(),
                shown.to_string(),
                "--name".into(),
                "x-abc".into()
            ]
        );
        drop(scratch);
        assert!(!path.exists());
        assert!(Scratch::fill(&mut ["--x".to_owned()], "abc").unwrap().is_none());
    }

    #[test]
    fn a_directory_that_was_left_behind_is_in_nobodys_way() {
        let mut two = [0; 2].map(|_| Scratch::make("left-behind").expect("made"));
        assert_ne!(two[0].0, two[1].0);
        assert!(two.iter_mut().all(|it| it.0.is_dir()));
    }
}
