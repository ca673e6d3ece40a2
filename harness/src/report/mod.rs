//! Reports: one pure function per format, all from one [`Summary`](crate::summary::Summary).

pub mod hdr;
pub mod json;
pub mod junit;
pub mod markdown;
pub mod text;
pub mod write;

use crate::latency::Unit;

/// A value of a metric, readable.
pub(crate) fn readable(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Micros if value >= 1e6 => format!("{:.2} s", value / 1e6),
        Unit::Micros if value >= 1e5 => format!("{:.0} ms", value / 1e3),
        Unit::Micros if value >= 1e3 => format!("{:.1} ms", value / 1e3),
        Unit::Micros => format!("{value:.0} µs"),
        Unit::Rate => format!("{}/s", grouped(value)),
        Unit::Count => grouped(value),
        Unit::Share => format!("{:.0} %", value * 100.0),
    }
}

/// A whole number with its thousands set apart.
pub(crate) fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if value < 0.0 {
        out.push('-');
    }
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Where a finding was seen, in words.
pub(crate) fn whereabouts(witness: &crate::summary::Witness) -> String {
    let client = witness.client.as_deref().unwrap_or("the target");
    let room = witness.room.as_ref().map(|room| format!(" in {room}")).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 microseconds")]
    let seconds = witness.finding.at.0 as f64 / 1e6;
    format!("{client}{room} at {seconds:.3} s")
}

/// A run's text cannot forge a line or colour of a report: control characters are shown, not sent.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] })
        .collect()
}
