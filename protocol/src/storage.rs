//! A room's shared storage: a map with a version, changed by several operations at once or not at
//! all.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use crate::limits::passes;

/// Keys and values. A value is kept as the JSON text that it came as: nothing of it is lost, large
/// numbers included, and it takes no more memory than it is charged for.
#[derive(Debug, Default)]
pub(crate) struct Storage {
    version: u64,
    entries: BTreeMap<String, Box<RawValue>>,
    charged: usize,
}

/// What becomes of one key of a room's storage.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The key.
    pub key: &'a str,
    /// Its new value as JSON text, or none.
    pub value: Option<&'a RawValue>,
}

/// A change could not be written down where it outlives the process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the storage could not be written down")]
pub struct NotKept;

/// Why a change was not made.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Unchanged {
    /// The storage would pass its limit.
    #[error("the storage would be {bytes} bytes long")]
    TooLarge { bytes: usize },
    /// It could not be kept.
    #[error(transparent)]
    NotKept(#[from] NotKept),
}

impl Storage {
    /// What was kept of an earlier life.
    pub(crate) fn restored(
        version: u64,
        entries: impl IntoIterator<Item = (String, Box<RawValue>)>,
    ) -> Self {
        let entries: BTreeMap<_, _> = entries.into_iter().collect();
        let charged = entries.iter().map(|(key, value)| charge(key, value)).sum();
        Self { version, entries, charged }
    }

    /// How many times it has been changed.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// Its content, by key.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), &**value))
    }

    /// Whether there is such a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Applies all changes in their order, as one new version; or, if the result would be over the
    /// limit, or `keep` fails with that version and the changes, none of them.
    pub(crate) fn apply<'a, C: Iterator<Item = Change<'a>> + Clone>(
        &mut self,
        changes: C,
        limit: usize,
        keep: impl FnOnce(u64, C) -> Result<(), NotKept>,
    ) -> Result<u64, Unchanged> {
        let charged = self.charged_after(changes.clone());
        // The braces and commas of `entries`: one more than there are entries, at least two.
        let bytes = (charged + 1).max(2);
        if passes(bytes, limit) {
            return Err(Unchanged::TooLarge { bytes });
        }
        keep(self.version + 1, changes.clone())?;
        for Change { key, value } in changes {
            match value {
                Some(value) => self.entries.insert(key.to_owned(), value.to_owned()),
                None => self.entries.remove(key),
            };
        }
        self.charged = charged;
        self.version += 1;
        Ok(self.version)
    }

    fn charged_after<'a>(&self, changes: impl Iterator<Item = Change<'a>>) -> usize {
        let last: BTreeMap<&str, Option<&RawValue>> =
            changes.map(|change| (change.key, change.value)).collect();
        let (mut gained, mut lost) = (0, 0);
        for (key, value) in last {
            gained += value.map_or(0, |value| charge(key, value));
            lost += self.entries.get(key).map_or(0, |value| charge(key, value));
        }
        self.charged + gained - lost
    }
}

/// The length of `"key":value,`.
fn charge(key: &str, value: &RawValue) -> usize {
    let escaped = key.bytes().map(|byte| match byte {
        b'"' | b'\\' | 8 | 9 | 10 | 12 | 13 => 2,
        0..0x20 => 6,
        _ => 1,
    });
    escaped.sum::<usize>() + value.get().len() + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).expect("the tests' own JSON")
    }

    fn json(storage: &Storage) -> String {
        let entries: BTreeMap<_, _> = storage.entries().collect();
        serde_json::to_string(&entries).expect("raw values are JSON")
    }

    fn apply(
        storage: &mut Storage,
        changes: &[Change<'_>],
        limit: usize,
    ) -> Result<u64, Unchanged> {
        storage.apply(changes.iter().copied(), limit, |_, _| Ok(()))
    }

    #[test]
    fn what_is_not_kept_is_not_changed_and_what_was_kept_is_charged_as_before() {
        let value = raw(r#"{"x":1}"#);
        let put = [Change { key: "k", value: Some(&value) }];
        let mut storage = Storage::default();
        apply(&mut storage, &put, 0).expect("fits");
        let (before, full) = (json(&storage), json(&storage).len());
        let failed = storage.apply(put.iter().copied(), 0, |version, _| {
            assert_eq!(version, 2);
            Err(NotKept)
        });
        assert_eq!((failed, storage.version()), (Err(Unchanged::NotKept(NotKept)), 1));
        let mut restored = Storage::restored(1, [("k".to_owned(), raw(value.get()))]);
        assert_eq!((json(&restored), restored.charged), (before, storage.charged));
        assert_eq!(apply(&mut restored, &put, full), Ok(2));
        assert!(apply(&mut restored, &put, full - 1).is_err());
    }

    #[test]
    fn it_is_charged_as_much_as_its_json_is_long() {
        let mut storage = Storage::default();
        let value = raw(r#"{"x": 12345678901234567890123}"#);
        for key in ["a", "é", "quote\"", "line\n", "bell\u{7}", "back\\"] {
            let limit = json(&storage).len().max(2);
            let put = [Change { key, value: Some(&value) }];
            if storage.version() > 0 {
                assert!(apply(&mut storage, &put, limit).is_err());
            }
            apply(&mut storage, &put, 0).expect("no limit");
            let full = json(&storage).len();
            let again = apply(&mut storage, &put, full);
            assert!(again.is_ok(), "exactly at the limit");
            assert!(apply(&mut storage, &put, full - 1).is_err());
        }
        assert_eq!(storage.version(), 12, "a refused change makes no version");
    }

    #[test]
    fn of_several_operations_on_one_key_the_last_one_stands() {
        let mut storage = Storage::default();
        let (one, two) = (raw("1"), raw("2"));
        let key = "k";
        let put = |value| Change { key, value: Some(value) };
        let delete = Change { key, value: None };
        apply(&mut storage, &[put(&*one), delete, put(&*two)], 7).expect("fits");
        assert_eq!(json(&storage), r#"{"k":2}"#);
        apply(&mut storage, &[put(&*one), delete, delete], 2).expect("fits");
        assert_eq!(json(&storage), "{}");
        assert_eq!(storage.charged, 0);
    }
}
