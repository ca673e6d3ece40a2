//! Tells of changed files: what the system says has happened below a directory, made into few and
//! certain changes.
//!
//! What comes from the system differs between systems and editors, comes several times, and can be
//! lost when there is too much of it. So it is taken as a hint of where to look: what is told is the
//! difference between the files as they were last seen and as they are found now.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};
use tracing::{debug, warn};

/// Changes are told when nothing has happened for so long: a file that is written in pieces has
/// changed once.
const QUIET: Duration = Duration::from_millis(50);
/// And after so long at the latest, however busy the directory is.
const SETTLED: Duration = Duration::from_millis(500);
/// Hints that may wait. Beyond that they are dropped, and everything is looked at.
const HINTS: usize = 4096;
/// Files that are kept in mind.
const FILES: usize = 100_000;

/// What happened to a file, in the words of the events that are published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happened {
    Added,
    Changed,
    Deleted,
}

impl Happened {
    /// The `event` of a change on the channel `files`.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Added => "add",
            Self::Changed => "change",
            Self::Deleted => "delete",
        }
    }
}

/// One file that is not as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// From the watched directory, with `/` between its parts.
    pub(crate) file: String,
    pub(crate) happened: Happened,
}

/// A directory under watch; it ends with the value.
pub(crate) struct Watch {
    watcher: Option<RecommendedWatcher>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Watch {
    /// Tells `tell` of every change from now on, from a thread of its own.
    pub(crate) fn start(dir: &Path, tell: impl FnMut(Change) + Send + 'static) -> io::Result<Self> {
        let failed = |error: &dyn fmt::Display| {
            io::Error::other(format!("cannot watch {}: {error}", dir.display()))
        };
        // Some systems name files by their real paths, whatever they were asked for.
        let root = dir.canonicalize().map_err(|error| failed(&error))?;
        let (hint, hints) = sync_channel(HINTS);
        let lost = Arc::new(AtomicBool::new(false));
        let hinting = Hinting { hint, lost: lost.clone() };
        let mut watcher = notify::recommended_watcher(move |event| hinting.heard(event))
            .map_err(|error| failed(&error))?;
        watcher.watch(&root, RecursiveMode::Recursive).map_err(|error| failed(&error))?;
        // What is there when the watch has begun is not news.
        let mut tree = Tree::new(root, FILES);
        tree.look(&BTreeMap::from([(tree.root.clone(), Hint::Look)]));
        if tree.is_full() {
            return Err(failed(&format!("there are more than {FILES} files below it")));
        }
        let thread = thread::Builder::new()
            .name("watch".into())
            .spawn(move || run(&hints, &lost, &mut tree, tell))?;
        Ok(Self { watcher: Some(watcher), thread: Some(thread) })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread ends when nobody can give hints any more.
        drop(self.watcher.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that watched files had panicked");
        }
    }
}

/// What is known of a path at which something happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hint {
    /// It may have changed: its size and time tell.
    Look,
    /// It has other content, whatever its size and time are.
    Written,
}

/// The system's side of the queue.
struct Hinting {
    hint: SyncSender<(PathBuf, Hint)>,
    /// Whether hints were lost, here or in the system.
    lost: Arc<AtomicBool>,
}

impl Hinting {
    fn heard(&self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                warn!(%error, "watching files");
                return self.lose();
            }
        };
        if event.need_rescan() {
            self.lose();
        }
        let Some(hint) = hint_of(event.kind) else { return };
        for path in event.paths {
            match self.hint.try_send((path, hint)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => self.lose(),
                // The watch is about to end.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }

    /// Notes that hints were lost, and wakes the thread that is to see to it: there may be no other
    /// hint to come. If there is no place for this one, there is one that it has yet to take.
    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.hint.try_send((PathBuf::new(), Hint::Look)).unwrap_or_default();
    }
}

/// What an event of the system says; none if it changes nothing.
fn hint_of(kind: EventKind) -> Option<Hint> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Hint::Look),
        EventKind::Access(_) => None,
        EventKind::Modify(
            ModifyKind::Data(_) | ModifyKind::Name(RenameMode::To | RenameMode::Both),
        ) => Some(Hint::Written),
        _ => Some(Hint::Look),
    }
}

fn run(
    hints: &Receiver<(PathBuf, Hint)>,
    lost: &AtomicBool,
    tree: &mut Tree,
    mut tell: impl FnMut(Change),
) {
    let mut places = BTreeMap::new();
    while let Ok(first) = hints.recv() {
        let begun = Instant::now();
        let mut next = Some(first);
        while let Some((path, hint)) = next.take() {
            let known = places.entry(path).or_insert(hint);
            *known = hint.max(*known);
            if begun.elapsed() < SETTLED {
                next = match hints.recv_timeout(QUIET) {
                    Ok(more) => Some(more),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
            }
        }
        if lost.swap(false, Ordering::AcqRel) {
            debug!("hints were lost: looking at everything");
            places.insert(tree.root.clone(), Hint::Look);
        }
        tree.look(&places).into_iter().for_each(&mut tell);
        places.clear();
    }
}

/// The files below a directory, as they were last seen.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
    /// By path below the root.
    files: BTreeMap<PathBuf, Stamp>,
    /// How many of them are kept in mind.
    most: usize,
}

/// By what a changed file is told from one that is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Tree {
    fn new(root: PathBuf, most: usize) -> Self {
        Self { root, files: BTreeMap::new(), most }
    }

    fn is_full(&self) -> bool {
        self.files.len() > self.most
    }

    /// Looks at these places, and at everything below those that are directories. Gives the files
    /// that are not as they were, in the order of their paths.
    fn look(&mut self, places: &BTreeMap<PathBuf, Hint>) -> Vec<Change> {
        // A file may be at several places, such as its directory's and its own: it is judged once.
        let mut judged: BTreeMap<PathBuf, Option<Happened>> = BTreeMap::new();
        for path in places.keys() {
            let Ok(place) = path.strip_prefix(&self.root) else { continue };
            let found = self.found_at(place);
            // Of more files than are kept in mind not all were found: then each is asked for.
            let is_whole = found.len() <= self.most;
            let is_there = |file: &Path| fs::symlink_metadata(self.root.join(file)).is_ok();
            let known = self.files.range(place.to_owned()..).map(|(file, _)| file);
            let gone: Vec<PathBuf> = known
                .take_while(|file| file.starts_with(place))
                .filter(|file| !found.contains_key(*file) && !judged.contains_key(*file))
                .filter(|file| is_whole || !is_there(file))
                .cloned()
                .collect();
            for file in gone {
                self.files.remove(&file);
                judged.insert(file, Some(Happened::Deleted));
            }
            for (file, stamp) in found {
                if let Entry::Vacant(verdict) = judged.entry(file) {
                    let path = self.root.join(verdict.key());
                    let written = places.get(&path) == Some(&Hint::Written);
                    let happened = self.see(verdict.key(), stamp, written);
                    verdict.insert(happened);
                }
            }
        }
        let changes = judged.into_iter().filter_map(|(file, happened)| {
            happened.map(|happened| Change { file: name(&file), happened })
        });
        changes.collect()
    }

    /// Notes a file that is there, and says what happened to it.
    fn see(&mut self, file: &Path, stamp: Stamp, written: bool) -> Option<Happened> {
        let is_full = self.is_full();
        match self.files.get_mut(file) {
            Some(known) if *known == stamp && !written => None,
            Some(known) => {
                *known = stamp;
                Some(Happened::Changed)
            }
            None if is_full => {
                warn!(files = self.most, file = %file.display(), "too many files to watch all of them");
                None
            }
            None => {
                self.files.insert(file.to_owned(), stamp);
                Some(Happened::Added)
            }
        }
    }

    /// The files that are at this place or below it, not through links. What cannot be read is not
    /// there: it may have gone since.
    fn found_at(&self, place: &Path) -> BTreeMap<PathBuf, Stamp> {
        let mut found = BTreeMap::new();
        let mut open = vec![place.to_owned()];
        while let Some(place) = open.pop() {
            let path = self.root.join(&place);
            let Ok(about) = fs::symlink_metadata(&path) else { continue };
            if !about.is_dir() {
                let stamp = Stamp { bytes: about.len(), modified: about.modified().ok() };
                found.insert(place, stamp);
                if found.len() > self.most {
                    break;
                }
                continue;
            }
            let entries = fs::read_dir(&path).into_iter().flatten().flatten();
            open.extend(entries.map(|entry| place.join(entry.file_name())));
        }
        found
    }
}

/// A path as it stands in events.
fn name(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree over a real directory that has been looked at once.
    fn tree(dir: &tempfile::TempDir) -> Tree {
        let mut tree = Tree::new(dir.path().to_owned(), FILES);
        look(&mut tree, "", Hint::Look);
        tree
    }

    fn look(tree: &mut Tree, place: &str, hint: Hint) -> Vec<(String, &'static str)> {
        let places = BTreeMap::from([(tree.root.join(place), hint)]);
        let told = tree.look(&places);
        told.into_iter().map(|change| (change.file, change.happened.word())).collect()
    }

    fn told(file: &str, word: &'static str) -> Vec<(String, &'static str)> {
        vec![(file.to_owned(), word)]
    }

    #[test]
    fn a_file_is_added_changed_and_deleted_once_each() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree(&dir);
        let file = dir.path().join("a.txt");
        fs::write(&file, "one").unwrap();
        assert_eq!(look(&mut tree, "a.txt", Hint::Written), told("a.txt", "add"));
        assert_eq!(look(&mut tree, "a.txt", Hint::Look), []);
        fs::write(&file, "more").unwrap();
        assert_eq!(look(&mut tree, "a.txt", Hint::Look), told("a.txt", "change"));
        fs::remove_file(&file).unwrap();
        assert_eq!(look(&mut tree, "a.txt", Hint::Look), told("a.txt", "delete"));
        assert_eq!(look(&mut tree, "a.txt", Hint::Look), []);
    }

    #[test]
    fn content_of_the_same_length_is_a_change_when_the_system_says_that_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "one").unwrap();
        let mut tree = tree(&dir);
        assert_eq!(look(&mut tree, "a", Hint::Look), []);
        assert_eq!(look(&mut tree, "a", Hint::Written), told("a", "change"));
    }

    #[test]
    fn a_directory_that_comes_or_goes_is_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree(&dir);
        fs::create_dir_all(dir.path().join("d/e")).unwrap();
        fs::write(dir.path().join("d/e/deep"), "x").unwrap();
        fs::write(dir.path().join("d/flat"), "x").unwrap();
        fs::write(dir.path().join("d-not-below"), "x").unwrap();
        let both = |word| [told("d/e/deep", word), told("d/flat", word)].concat();
        assert_eq!(look(&mut tree, "d", Hint::Look), both("add"));
        look(&mut tree, "", Hint::Look);
        fs::rename(dir.path().join("d"), dir.path().join("f")).unwrap();
        assert_eq!(look(&mut tree, "d", Hint::Look), both("delete"));
        let moved = [told("f/e/deep", "add"), told("f/flat", "add")].concat();
        assert_eq!(look(&mut tree, "", Hint::Look), moved);
    }

    #[test]
    fn a_file_that_is_hinted_at_twice_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut tree = tree(&dir);
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "x").unwrap();
        let places = BTreeMap::from([
            (dir.path().join("d"), Hint::Look),
            (dir.path().join("d/f"), Hint::Written),
        ]);
        let added = Change { file: "d/f".into(), happened: Happened::Added };
        assert_eq!(tree.look(&places), [added]);
        // What was written is, wherever it was found.
        let changed = Change { file: "d/f".into(), happened: Happened::Changed };
        assert_eq!(tree.look(&places), [changed]);
    }

    #[test]
    fn what_is_there_is_not_deleted_however_many_files_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let write = |number: usize| fs::write(dir.path().join(number.to_string()), "x").unwrap();
        (0..4).for_each(write);
        let mut tree = Tree::new(dir.path().to_owned(), 4);
        assert_eq!(look(&mut tree, "", Hint::Look).len(), 4);
        (4..50).for_each(write);
        let told = look(&mut tree, "", Hint::Look);
        assert!(told.iter().all(|(_, word)| *word != "delete"), "{told:?}");
        fs::remove_file(dir.path().join("2")).unwrap();
        let told = look(&mut tree, "", Hint::Look);
        assert!(told.contains(&("2".to_owned(), "delete")), "{told:?}");
    }

    #[test]
    fn hints_that_the_system_lost_wake_the_thread_although_they_name_no_place() {
        use notify::event::Flag;
        for event in [
            Ok(notify::Event::new(EventKind::Other).set_flag(Flag::Rescan)),
            Err(notify::Error::generic("lost")),
        ] {
            let (hint, hints) = sync_channel(1);
            let lost = Arc::new(AtomicBool::new(false));
            let hinting = Hinting { hint, lost: lost.clone() };
            hinting.heard(event);
            assert!(lost.load(Ordering::Acquire) && hints.try_recv().is_ok());
        }
    }

    #[test]
    fn reading_is_no_change() {
        use notify::event::{CreateKind, DataChange};
        let opened = EventKind::Access(AccessKind::Open(AccessMode::Any));
        let read = EventKind::Access(AccessKind::Close(AccessMode::Read));
        assert_eq!((hint_of(opened), hint_of(read)), (None, None));
        let made = EventKind::Create(CreateKind::File);
        assert_eq!(hint_of(made), Some(Hint::Look));
        let written = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        assert_eq!(hint_of(written), Some(Hint::Written));
    }
}
