//! The storage of rooms on disk, through emptiness, restarts and crashes (docs/decisions/0006-storage-on-disk.md).
//!
//! A change is given to the operating system before it is answered, so it survives the end of this
//! process, of whichever kind. It reaches the disk within about a second, which bounds what a power
//! cut takes back.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt, fs, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tracing::error;

/// Where in the directory the store is: what else may be kept there later has room beside it.
const STORE: &str = "storage";
/// How often what was written is forced onto the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// What is read again from disk is kept in memory up to here: rooms that live are in memory anyway.
const CACHE_BYTES: u64 = 8 * 1024 * 1024;
/// The smallest that the store takes.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// Descriptors that the store may hold; they are counted among those that are not connections'.
const FILES: usize = 64;
/// The parts of the store.
const ABOUT: &str = "about";
const VERSIONS: &str = "versions";
const ENTRIES: &str = "entries";
/// How keys and values are laid out below. A store of another layout is refused.
const LAYOUT: &[u8] = b"1";

/// A directory in which the storage of rooms is kept. Clones speak of the same one; no other process
/// can have it open meanwhile.
#[derive(Clone)]
pub struct Data(Arc<Store>);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Data").field(&self.0.dir).finish()
    }
}

/// Why a directory cannot be used.
#[derive(Debug)]
pub enum CannotOpen {
    /// It is not a directory.
    NotADirectory,
    /// Another process has it open.
    InUse,
    /// The system refuses, e.g. for want of rights or space.
    Io(io::Error),
    /// What is in it is damaged, or not ours.
    Unreadable(String),
}

impl fmt::Display for CannotOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADirectory => f.write_str("it is not a directory"),
            Self::InUse => f.write_str("another process has it open"),
            Self::Io(error) => write!(f, "the store in it cannot be used: {error}"),
            Self::Unreadable(why) => {
                write!(f, "the store in it is damaged, or of another version: {why}")
            }
        }
    }
}

impl Error for CannotOpen {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<fjall::Error> for CannotOpen {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Locked => Self::InUse,
            fjall::Error::Io(error) => Self::Io(error),
            other => Self::Unreadable(format!("{other:?}")),
        }
    }
}

/// A change could not be written, so it must not be answered as done.
#[derive(Debug)]
pub(crate) enum NotWritten {
    /// As many rooms have something on disk as may.
    NoPlace,
    /// An earlier failure: what is on disk is not known any more.
    Broken,
    Store(fjall::Error),
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => f.write_str("as many rooms are kept on disk as may be"),
            Self::Broken => f.write_str("the store failed before"),
            Self::Store(error) => write!(f, "{error}"),
        }
    }
}

/// What the disk knows of one room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) version: u64,
    /// Keys, and values as JSON text.
    pub(crate) entries: Vec<(String, String)>,
}

struct Store {
    dir: PathBuf,
    database: Database,
    /// By room: the version, as a big-endian number.
    versions: Keyspace,
    /// By room and key: the value's JSON text, byte for byte.
    entries: Keyspace,
    /// How many rooms have a version.
    rooms: AtomicUsize,
    /// Whether there is something that has not been forced onto the disk.
    unsynced: AtomicBool,
    /// Whether that failed. The system may have dropped what it could not write, so nothing that
    /// comes after it can be promised.
    broken: AtomicBool,
    syncer: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Data {
    /// Opens the store in this directory; makes both where they are not there.
    ///
    /// # Errors
    /// If the directory cannot be used as it is, or another process uses it.
    pub fn open(dir: &Path) -> Result<Self, CannotOpen> {
        if dir.exists() && !dir.is_dir() {
            return Err(CannotOpen::NotADirectory);
        }
        let dir = dir.join(STORE);
        fs::create_dir_all(&dir).map_err(CannotOpen::Io)?;
        // The store asserts what it expects of its own files; a damaged one is no reason to panic.
        let opened = catch_unwind(AssertUnwindSafe(|| open(&dir)));
        let (database, versions, entries) = opened.unwrap_or_else(|_panic| {
            Err(CannotOpen::Unreadable("its files are not as it left them".into()))
        })?;
        let rooms = versions.iter().try_fold(0, |count, room| room.key().map(|_| count + 1))?;
        let store = Arc::new_cyclic(|store: &Weak<Store>| Store {
            syncer: start_syncer(store.clone()),
            dir,
            database,
            versions,
            entries,
            rooms: AtomicUsize::new(rooms),
            unsynced: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        });
        Ok(Self(store))
    }

    /// Writes one new version of a room's storage, whole or not at all: each key's new value, or none.
    /// When this returns, the end of the process cannot take it back.
    pub(crate) fn keep<'a>(
        &self,
        room: &str,
        version: u64,
        changes: impl Iterator<Item = (&'a str, Option<&'a str>)>,
        most_rooms: usize,
    ) -> Result<(), NotWritten> {
        let store = &*self.0;
        if store.broken.load(Ordering::Acquire) {
            return Err(NotWritten::Broken);
        }
        let is_new = !store.versions.contains_key(room).map_err(NotWritten::Store)?;
        if is_new && store.rooms.load(Ordering::Acquire) >= most_rooms {
            return Err(NotWritten::NoPlace);
        }
        // Within one batch a key must stand once: the last word on it.
        let changes: BTreeMap<&str, Option<&str>> = changes.collect();
        let mut batch = store.database.batch().durability(Some(PersistMode::Buffer));
        for (key, value) in changes {
            let place = place(room, key);
            match value {
                Some(value) => batch.insert(&store.entries, place, value),
                None => batch.remove(&store.entries, place),
            }
        }
        batch.insert(&store.versions, room, version.to_be_bytes());
        batch.commit().map_err(NotWritten::Store)?;
        if is_new {
            store.rooms.fetch_add(1, Ordering::AcqRel);
        }
        store.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    /// What was kept of a room, if anything ever was.
    pub(crate) fn find(&self, room: &str) -> Result<Option<Kept>, CannotOpen> {
        let store = &*self.0;
        let unreadable = |what: &str| CannotOpen::Unreadable(format!("{what} of room `{room}`"));
        let Some(version) = store.versions.get(room)? else { return Ok(None) };
        let version = version.as_ref().try_into().map_err(|_| unreadable("the version"))?;
        let mut entries = Vec::new();
        let prefix = place(room, "");
        for entry in store.entries.prefix(&prefix) {
            let (place, value) = entry.into_inner()?;
            let key = place.get(prefix.len()..).unwrap_or_default();
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
            let (Ok(key), Ok(value)) = (text(key), text(&value)) else {
                return Err(unreadable("an entry"));
            };
            entries.push((key, value));
        }
        Ok(Some(Kept { version: u64::from_be_bytes(version), entries }))
    }

    /// Forces onto the disk what was written.
    pub(crate) fn sync(&self) {
        self.0.sync();
    }
}

/// Opens the database, and sees that it is laid out as this program does it.
fn open(dir: &Path) -> Result<(Database, Keyspace, Keyspace), CannotOpen> {
    let database = Database::builder(dir)
        .worker_threads(1)
        .cache_size(CACHE_BYTES)
        .max_journaling_size(JOURNAL_BYTES)
        .max_cached_files(Some(FILES))
        .open()?;
    // A part whose beginning is lost is passed over by the store, as if it had never been.
    let is_whole = [VERSIONS, ENTRIES].into_iter().all(|part| database.keyspace_exists(part));
    let open = |name| database.keyspace(name, KeyspaceCreateOptions::default);
    let (about, versions, entries) = (open(ABOUT)?, open(VERSIONS)?, open(ENTRIES)?);
    match about.get("layout")? {
        Some(_) if !is_whole => {
            return Err(CannotOpen::Unreadable("a part of it is missing".into()));
        }
        Some(layout) if *layout == *LAYOUT => {}
        Some(other) => {
            let other = String::from_utf8_lossy(&other).into_owned();
            return Err(CannotOpen::Unreadable(format!("its layout is {other}")));
        }
        None if versions.first_key_value().is_some() => {
            return Err(CannotOpen::Unreadable("it does not say how it is laid out".into()));
        }
        None => {
            about.insert("layout", LAYOUT)?;
            database.persist(PersistMode::SyncAll)?;
        }
    }
    Ok((database, versions, entries))
}

/// Where an entry is: behind all of its room's and no other's. A room's name may be the beginning of
/// another's, so its length stands first.
fn place(room: &str, key: &str) -> Vec<u8> {
    let length = u16::try_from(room.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), room.as_bytes(), key.as_bytes()].concat()
}

fn start_syncer(store: Weak<Store>) -> Option<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let syncing = thread::Builder::new().name("sync".into()).spawn(move || {
        while stopped.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout) {
            if let Some(store) = store.upgrade() {
                store.sync();
            }
        }
    });
    match syncing {
        Ok(thread) => Some((stop, thread)),
        Err(error) => {
            // All but a power cut is survived without it.
            error!(%error, "no thread to write to the disk");
            None
        }
    }
}

impl Store {
    fn sync(&self) {
        if !self.unsynced.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = sync_journals(&self.dir) {
            self.broken.store(true, Ordering::Release);
            error!(%error, dir = %self.dir.display(), "storage cannot be written to the disk");
        }
    }
}

/// Forces the journals onto the disk, through descriptors of our own: the store's own way holds the
/// journal's lock meanwhile, and with it every room in which something is stored.
fn sync_journals(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "jnl") {
            continue;
        }
        match fs::File::open(&path) {
            // Only what has been written elsewhere, and synced there, is removed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => file?.sync_data()?,
        }
    }
    Ok(())
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.syncer.take() {
            drop(stop);
            // When the syncer itself held the store last, it has nothing more to do.
            if thread.thread().id() != thread::current().id() && thread.join().is_err() {
                error!("the thread that wrote to the disk had panicked");
            }
        }
        self.sync();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: usize = 1000;

    fn put(data: &Data, room: &str, version: u64, changes: &[(&str, Option<&str>)]) {
        data.keep(room, version, changes.iter().copied(), MANY).expect("written");
    }

    fn entries(data: &Data, room: &str) -> Vec<(String, String)> {
        data.find(room).expect("readable").expect("kept").entries
    }

    fn owned(entries: &[(&str, &str)]) -> Vec<(String, String)> {
        entries.iter().map(|&(key, value)| (key.into(), value.into())).collect()
    }

    #[test]
    fn what_was_kept_is_found_again_with_its_version_and_its_very_text() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::open(dir.path()).unwrap();
        assert_eq!(data.find("r").unwrap(), None);
        let number = "12345678901234567890123456789";
        put(&data, "r", 1, &[("a", Some(number)), ("b", Some("{ \"x\" : 1e2 }")), ("", Some("0"))]);
        put(&data, "r", 2, &[("b", None), ("c", Some("[]"))]);
        drop(data);
        let data = Data::open(dir.path()).unwrap();
        let kept = data.find("r").unwrap().unwrap();
        assert_eq!(kept.version, 2);
        assert_eq!(kept.entries, owned(&[("", "0"), ("a", number), ("c", "[]")]));
    }

    #[test]
    fn rooms_whose_names_begin_alike_are_apart() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::open(dir.path()).unwrap();
        put(&data, "r", 1, &[("oom", Some("1"))]);
        put(&data, "room", 1, &[("", Some("2"))]);
        put(&data, "ro", 1, &[("om", Some("3"))]);
        assert_eq!(entries(&data, "r"), owned(&[("oom", "1")]));
        assert_eq!(entries(&data, "room"), owned(&[("", "2")]));
        assert_eq!(entries(&data, "ro"), owned(&[("om", "3")]));
    }

    #[test]
    fn of_several_changes_of_one_key_the_last_one_stands() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::open(dir.path()).unwrap();
        put(&data, "r", 1, &[("a", Some("1")), ("a", None), ("a", Some("3")), ("b", Some("1"))]);
        put(&data, "r", 2, &[("b", Some("2")), ("b", None)]);
        assert_eq!(entries(&data, "r"), owned(&[("a", "3")]));
        drop(data);
        assert_eq!(entries(&Data::open(dir.path()).unwrap(), "r"), owned(&[("a", "3")]));
    }

    #[test]
    fn no_more_rooms_are_kept_than_may_be() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::open(dir.path()).unwrap();
        let change = || [("k", Some("1"))].into_iter();
        data.keep("one", 1, change(), 1).unwrap();
        let refused = data.keep("two", 1, change(), 1);
        assert!(matches!(refused, Err(NotWritten::NoPlace)), "{refused:?}");
        data.keep("one", 2, change(), 1).unwrap();
        drop(data);
        let data = Data::open(dir.path()).unwrap();
        assert!(data.keep("two", 1, change(), 1).is_err(), "rooms are counted again");
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_refused_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(Data::open(&file), Err(CannotOpen::NotADirectory)));

        let data = Data::open(dir.path()).unwrap();
        assert!(matches!(Data::open(dir.path()), Err(CannotOpen::InUse)));
        drop(data);
        fs::write(dir.path().join(STORE).join("version"), "nonsense").unwrap();
        assert!(matches!(Data::open(dir.path()), Err(CannotOpen::Unreadable(_))));
    }

    #[test]
    fn a_journal_damaged_in_its_middle_is_told_of() {
        let dir = tempfile::tempdir().unwrap();
        let data = Data::open(dir.path()).unwrap();
        for version in 1..=100 {
            put(&data, "r", version, &[("k", Some(&version.to_string()))]);
        }
        drop(data);
        let journal = dir.path().join(STORE).join("0.jnl");
        let journal = if journal.exists() { journal } else { dir.path().join(STORE).join("1.jnl") };
        let mut bytes = fs::read(&journal).unwrap();
        let written = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        bytes[written / 2] ^= 0xff;
        fs::write(&journal, bytes).unwrap();
        let opened = Data::open(dir.path());
        assert!(matches!(opened, Err(CannotOpen::Unreadable(_))), "{opened:?}");
    }
}
