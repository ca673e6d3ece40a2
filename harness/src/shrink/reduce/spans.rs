//! Shorter times and smaller sizes.

use std::time::Duration;

use super::super::size::length;
use super::super::tree::{Path, Tree, last_key};
use super::Edit;

/// Steps that wait: for how long, at least.
const WAITS: [(&str, Duration); 5] = [
    ("wait", Duration::from_millis(20)),
    ("for", Duration::from_millis(20)),
    ("settle", Duration::from_millis(500)),
    ("after", Duration::ZERO),
    // A machine that is busy must not make of it a failure.
    ("within", Duration::from_secs(2)),
];
/// A text of this size has room for its stamp.
const SMALL: &str = "64B";

/// A time as scenarios write it.
pub(super) fn text(span: Duration) -> String {
    match (span.as_millis(), span.as_secs()) {
        (millis, seconds) if millis == u128::from(seconds) * 1000 => format!("{seconds}s"),
        (millis, _) => format!("{millis}ms"),
    }
}

/// Shorter times than this one, the shortest first.
pub(super) fn parts(span: Duration, least: Duration) -> Vec<Duration> {
    let whole = |millis: u128| Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX));
    let millis = span.as_millis();
    let mut all: Vec<Duration> =
        [millis / 16, millis / 4, millis / 2, millis * 3 / 4].map(whole).into();
    all.push(least);
    all.retain(|it| *it < span && *it >= least);
    all.sort_unstable();
    all.dedup();
    all
}

/// Times of steps shorter, sizes of messages smaller.
pub(super) fn shorter(tree: &Tree) -> Vec<Edit> {
    let mut edits = Vec::new();
    for path in tree.find(|path, value| last_key(path).is_some() && value.word().is_some()) {
        let (Some(key), Some(value)) = (last_key(&path), tree.at(&path)) else { continue };
        if key == "size" {
            edits.extend(size(tree, &path, value));
            continue;
        }
        let Some((_, least)) = WAITS.into_iter().find(|(word, _)| *word == key) else { continue };
        for span in length(value).into_iter().flat_map(|span| parts(span, least)) {
            let mut changed = tree.clone();
            if let Some(slot) = changed.at_mut(&path) {
                *slot = Tree::text(text(span));
            }
            let what = format!("{key} {} at {path:?}", text(span));
            edits.push(Edit { what, tree: changed });
        }
    }
    edits
}

/// A size away, where there may be none, or small.
fn size(tree: &Tree, path: &Path, value: &Tree) -> Vec<Edit> {
    let Some((_, around)) = path.split_last() else { return Vec::new() };
    let mut without = tree.clone();
    if let Some(map) = without.at_mut(around) {
        map.remove("size");
    }
    let mut small = tree.clone();
    if let Some(slot) = small.at_mut(path) {
        *slot = Tree::text(SMALL);
    }
    let mut edits = vec![Edit { what: format!("no size at {path:?}"), tree: without }];
    if value.word() != Some(SMALL) {
        edits.push(Edit { what: format!("a small size at {path:?}"), tree: small });
    }
    edits
}
