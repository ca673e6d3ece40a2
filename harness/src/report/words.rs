//! How numbers, times and foreign text look to a person, the same in every format.

use crate::check::Class;
use crate::latency::{Held, Metric, Unit};
use crate::plan::Faults;
use crate::summary::{Direction, Summary, Witness};

/// Columns of a line of a transcript; what is longer is cut.
const WIDTH: usize = 120;
/// Rules of the network that are told of.
const NETWORK_MAX: usize = 20;

/// A number with its thousands set apart.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number and its noun, in the plural where it needs one.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// How rare the faults may be that so many deliveries show.
pub fn power(Faults { one_in, needed }: Faults, seen: u64) -> String {
    let [one_in, needed, seen] = [one_in, needed, seen].map(number);
    format!("faults of one in {one_in} are found in {needed}; there were {seen}")
}

/// The faults of the network that the scenario wanted, so that nobody takes them for the server's. One
/// that was set again and again is one line.
pub fn network(summary: &Summary) -> Vec<String> {
    let mut rules: Vec<(&str, u64)> = Vec::new();
    for story in &summary.network {
        match rules.iter_mut().find(|(rule, _)| *rule == story.rule) {
            Some((_, times)) => *times += story.times,
            None => rules.push((&story.rule, story.times)),
        }
    }
    let line = |(rule, times): (&str, u64)| {
        format!("{} ({}; the scenario wants it)", brief(rule), counted(times, "time"))
    };
    rules.into_iter().take(NETWORK_MAX).map(line).collect()
}

/// A time in the unit that reads best.
pub fn micros(us: f64) -> String {
    let (value, unit) = match us {
        us if us < 1_000.0 => return format!("{us:.0} µs"),
        us if us < 1_000_000.0 => (us / 1_000.0, "ms"),
        us => (us / 1_000_000.0, "s"),
    };
    let decimals = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// [`micros`] of a whole number of them.
#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 microseconds")]
pub fn whole_micros(us: u64) -> String {
    micros(us as f64)
}

/// A size of memory.
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn bytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// The value of a metric, in its unit.
pub fn value(metric: Metric, stat: &str, value: f64) -> String {
    match metric.unit() {
        Unit::Micros if stat != "count" => micros(value),
        Unit::Micros | Unit::Count => number(whole(value)),
        Unit::Rate => format!("{}/s", number(whole(value))),
        Unit::Share => format!("{value:.2} cores"),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count or a rate")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A limit, as it is called in every format.
pub fn limit(held: &Held) -> String {
    format!("{} {} {}", held.metric.as_str(), held.stat, brief(&held.text))
}

/// What was found where a limit was set.
pub fn found(held: &Held) -> String {
    held.found.map_or_else(
        || "nothing measured".to_owned(),
        |found| format!("found {}", value(held.metric, &held.stat, found)),
    )
}

/// Text from elsewhere, made harmless: what steers a terminal, turns the direction of writing or
/// may not stand in XML is shown as its code.
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if c.is_control() || is_invisible(c) => cleaned.extend(c.escape_default()),
            c => cleaned.push(c),
        }
    }
    cleaned
}

fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fdd0}'..='\u{fdef}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}'
    )
}

/// Cuts a text to so many characters, and shows that it did.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Foreign text in a line of a report: harmless, and of a bounded length.
pub fn brief(text: &str) -> String {
    cut(&clean(text), 2 * WIDTH)
}

/// How many findings there are of a class, whichever check raised them.
pub fn of_class(summary: &Summary, class: Class) -> u64 {
    let all = summary.checks.iter().flat_map(|check| &check.classes);
    all.filter(|(found, _)| *found == class).map(|(_, n)| n).sum()
}

/// The classes with findings, with their numbers: `12 loss, 1 leak`.
pub fn classes(classes: &[(Class, u64)]) -> String {
    let found = classes.iter().filter(|(_, n)| *n > 0);
    let words: Vec<String> = found.map(|(class, n)| format!("{} {class}", number(*n))).collect();
    words.join(", ")
}

/// A finding in one line: class, detail, who and where, when.
pub fn finding(witness: &Witness) -> String {
    let found = &witness.finding;
    let who = witness.client.as_deref().map(|client| format!(", seen by {}", brief(client)));
    let room = witness.room.as_deref().map(|room| format!(" in {}", brief(room)));
    format!(
        "{} / {}: {}{}{} at {} s",
        found.check,
        found.class,
        brief(&found.detail),
        who.unwrap_or_default(),
        room.unwrap_or_default(),
        moment(found.at.0)
    )
}

/// A moment of the run: seconds and milliseconds, then microseconds.
pub fn moment(us: u64) -> String {
    let (second, rest) = (us / 1_000_000, us % 1_000_000);
    format!("{second}.{:03} {:03}", rest / 1_000, rest % 1_000)
}

/// What went over the wire around a finding, a line per frame, each no wider than the terminal.
/// The finding has its own line at its time.
pub fn transcript(witness: &Witness) -> Vec<String> {
    let line = |at: u64, mark: char, text: &str| {
        // What is cut off need not be cleaned, and a frame may be long.
        let text: String = text.chars().take(WIDTH).collect();
        cut(&format!("{:>12}  {mark} {}", moment(at), clean(&text)), WIDTH - INDENT)
    };
    let found = &witness.finding;
    let mut lines: Vec<String> = Vec::with_capacity(witness.frames.len() + 1);
    let before = witness.frames.partition_point(|frame| frame.at <= found.at);
    for (index, frame) in witness.frames.iter().enumerate() {
        if index == before {
            lines.push(line(found.at.0, '✗', found.class.as_str()));
        }
        let mark = match frame.direction {
            Direction::Out => '→',
            Direction::In => '←',
        };
        lines.push(line(frame.at.0, mark, &frame.text));
    }
    if before == witness.frames.len() {
        lines.push(line(found.at.0, '✗', found.class.as_str()));
    }
    lines
}

/// By how much transcripts are indented where they are shown.
pub const INDENT: usize = 6;

/// The findings to show first: one of each class, then the earliest, in their order.
pub fn first_few(witnesses: &[Witness], most: usize) -> Vec<&Witness> {
    let mut classes = Vec::new();
    let (new, rest): (Vec<_>, Vec<_>) = witnesses.iter().enumerate().partition(|(_, witness)| {
        let is_new = !classes.contains(&witness.finding.class);
        classes.push(witness.finding.class);
        is_new
    });
    let mut shown: Vec<_> = new.into_iter().chain(rest).take(most).collect();
    shown.sort_unstable_by_key(|(index, _)| *index);
    shown.into_iter().map(|(_, witness)| witness).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (n, expected) in cases {
            assert_eq!(number(n), expected);
        }
        let cases = [
            (0.0, "0 µs"),
            (812.0, "812 µs"),
            (9_800.0, "9.80 ms"),
            (41_000.0, "41.0 ms"),
            (187_000.0, "187 ms"),
            (45_300_000.0, "45.3 s"),
        ];
        for (us, expected) in cases {
            assert_eq!(micros(us), expected);
        }
        assert_eq!(moment(18_204_655), "18.204 655");
    }

    #[test]
    fn foreign_text_cannot_steer() {
        assert_eq!(clean("\u{1b}[2J\r\n\u{202e}é→"), "\\u{1b}[2J\\r\\n\\u{202e}é→");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
