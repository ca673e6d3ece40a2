//! A directory of the run's own, for a server that keeps its data on disk.

use std::io;
use std::path::{Path, PathBuf};

/// The word that stands for it in the server's arguments.
const WORD: &str = "$scratch";

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
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
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
}
