//! Where scenario and dialect files come from: those that come with the program, or a path.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::problem::{Problem, Problems, nearest};
use super::tree::FILE_BYTES_MAX;
use crate::plan::Source;

/// The directory `scenarios/` as it was when the program was built.
static SHIPPED: Dir<'static> = include_dir!("$CARGO_MANIFEST_DIR/../scenarios");

/// The scenarios that come with the program.
pub fn shipped_scenarios() -> Vec<Source> {
    all_in("")
}

/// The dialects that come with the program.
pub fn shipped_dialects() -> Vec<Source> {
    all_in("dialects")
}

/// What a file is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Who connects, and what they do.
    Scenario,
    /// A wire format.
    Dialect,
    /// What a server promises.
    Profile,
    /// What servers must do.
    Requirements,
    /// What no case can show of that.
    Untestable,
    /// What is known not to pass.
    Baseline,
    /// Servers that are wrong in known ways, and what must be found there.
    Mutants,
}

/// A file is what its first word says: a broken one must not be taken for another kind.
pub fn kind(text: &str) -> Kind {
    if text.lines().any(|line| line.starts_with("steps:")) {
        return Kind::Scenario;
    }
    let known = |line: &str| {
        let (key, _) = line.split_once(':')?;
        match key {
            "scenario" => Some(Kind::Scenario),
            "dialect" => Some(Kind::Dialect),
            "profile" => Some(Kind::Profile),
            "requirements" => Some(Kind::Requirements),
            "untestable" => Some(Kind::Untestable),
            "mutants" => Some(Kind::Mutants),
            key if key.starts_with("- case") || key.starts_with("- { case") => Some(Kind::Baseline),
            _ => None,
        }
    };
    text.lines().find_map(known).unwrap_or(Kind::Scenario)
}

/// How deep directories are searched.
const DIRECTORIES_DEEP: usize = 8;

/// More files than this are not looked for in one directory.
const FILES_MAX: usize = 10_000;

/// Every file below `scenarios/` that comes with the program, by its path there.
pub fn shipped_tree() -> Vec<(String, Source)> {
    let mut found = Vec::new();
    let mut waiting = vec![&SHIPPED];
    while let Some(directory) = waiting.pop() {
        waiting.extend(directory.dirs());
        let paths = directory.files().filter_map(|file| file.path().to_str());
        found.extend(paths.filter_map(|path| Some((path.to_owned(), source(path)?))));
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// Every `.yaml` file below a directory of the user's, by its path there (with `/`).
pub fn tree(directory: &Path) -> Result<Vec<(String, Source)>, Problems> {
    let mut found = Vec::new();
    for path in yaml_below(directory) {
        let inside = path.strip_prefix(directory).unwrap_or(&path);
        let parts = inside.components().map(|part| part.as_os_str().to_string_lossy());
        found.push((parts.collect::<Vec<_>>().join("/"), read(&path)?));
    }
    Ok(found)
}

/// The paths of all `.yaml` and `.yml` files below a directory, sorted.
pub fn yaml_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    search(directory, DIRECTORIES_DEEP, &mut found);
    found.sort();
    found
}

fn search(directory: &Path, deep: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if found.len() >= FILES_MAX {
            return;
        }
        let yaml =
            path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if path.is_dir() && deep > 0 {
            search(&path, deep - 1, found);
        } else if yaml {
            found.push(path);
        }
    }
}

fn all_in(directory: &str) -> Vec<Source> {
    let directory = match directory {
        "" => Some(&SHIPPED),
        inner => SHIPPED.get_dir(inner),
    };
    let files = directory.into_iter().flat_map(Dir::files);
    files.filter_map(|file| source(file.path().to_str()?)).collect()
}

fn source(path: &str) -> Option<Source> {
    let file = SHIPPED.get_file(path).filter(|_| path.ends_with(".yaml"))?;
    let text = file.contents_utf8()?;
    Some(Source { name: format!("scenarios/{path}"), text: text.into() })
}

pub(crate) fn shipped_dialect(name: &str) -> Option<Source> {
    source(&format!("dialects/{name}.yaml"))
}

/// A scenario by name (of those that come with the program) or path.
pub fn scenario(name_or_path: &str) -> Result<Source, Problems> {
    let shipped = source(&format!("{name_or_path}.yaml"));
    find(name_or_path, "scenario", shipped, &shipped_scenarios())
}

/// A dialect by name (of those that come with the program) or path.
pub fn dialect(name_or_path: &str) -> Result<Source, Problems> {
    find(name_or_path, "dialect", shipped_dialect(name_or_path), &shipped_dialects())
}

/// A path wins over a name when it looks like one: it has a separator or an extension.
fn find(
    name: &str,
    what: &str,
    shipped: Option<Source>,
    all: &[Source],
) -> Result<Source, Problems> {
    let path = Path::new(name);
    let is_path = path.extension().is_some() || path.components().count() > 1;
    match shipped {
        Some(shipped) if !is_path => Ok(shipped),
        _ if is_path || path.exists() => read(path),
        _ => {
            let names: Vec<&str> = all.iter().filter_map(|source| stem(&source.name)).collect();
            let problem = Problem::new(format!("no {what} is called `{name}`, and no file either"));
            let problem = match nearest(name, names.iter().copied()) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None => problem.help(format!("there are {}", names.join(", "))),
            };
            Err(Problems::unread(name, problem))
        }
    }
}

fn stem(name: &str) -> Option<&str> {
    Path::new(name).file_stem()?.to_str()
}

/// Reads a file of the user's.
pub fn read(path: &Path) -> Result<Source, Problems> {
    let name = path.display().to_string();
    let unread = |problem| Problems::unread(&name, problem);
    let failed = |error: std::io::Error| unread(Problem::new(format!("cannot be read: {error}")));
    let file = File::open(path).map_err(failed)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(unread(Problem::new("is a directory; a file is wanted")));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed: enough to know that it is too large, whatever it is.
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_BYTES_MAX {
        let problem = Problem::new("the file is larger than 1 MiB");
        return Err(unread(problem.help("is this the right file?")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes().iter().take(valid).filter(|b| **b == b'\n').count();
        let problem = Problem::new(format!("line {line} is not UTF-8 (byte {valid} of the file)"));
        unread(problem.help("save the file as UTF-8"))
    })?;
    Ok(Source { name, text: text.into() })
}
