//! What is measured: the closed list of metrics, so that a misspelt threshold is a mistake and not
//! a limit that always holds.

use super::units::Quantity;

/// What a metric's values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Times: microseconds in files.
    Time,
    /// So many a second.
    Rate,
    /// A number of things.
    Count,
    /// A share of one processor.
    Share,
}

/// A metric's name, what its values are, and what it means.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in thresholds and reports.
    pub name: &'static str,
    /// What its values are.
    pub unit: Unit,
    /// What it means, in a line.
    pub about: &'static str,
}

const fn metric(name: &'static str, unit: Unit, about: &'static str) -> Metric {
    Metric { name, unit, about }
}

/// All metrics.
pub const METRICS: &[Metric] = &[
    metric("open.latency", Unit::Time, "from the first byte sent to an open connection"),
    metric("open.failed", Unit::Count, "connections that could not be opened"),
    metric("join.latency", Unit::Time, "from asking to enter a room to being in it"),
    metric("ack.latency", Unit::Time, "from sending a message to its confirmation"),
    metric("deliver.latency", Unit::Time, "from when a message was due to each of its receptions"),
    metric("deliver.latency.service", Unit::Time, "the same, from when it was really sent"),
    metric("deliver.rate", Unit::Rate, "receptions a second"),
    metric("messages.lost", Unit::Count, "deliveries owed that never came"),
    metric("messages.duplicated", Unit::Count, "deliveries that came again"),
    metric("messages.disordered", Unit::Count, "deliveries that came out of order"),
    metric(
        "presence.converge",
        Unit::Time,
        "from the last change until all hold the same presence",
    ),
    metric("close.unexpected", Unit::Count, "connections that ended without being asked to"),
    metric("reconnect.latency", Unit::Time, "from asking for a new connection to being back"),
    metric("harness.lateness", Unit::Time, "how late the harness itself sent"),
    metric("harness.cpu", Unit::Share, "processor time that the harness used"),
    metric("harness.loop_lag", Unit::Time, "how long the harness's own event loop stood still"),
];

/// The values of a metric that a threshold can name.
pub const STATS: &[&str] = &["count", "min", "mean", "p50", "p90", "p99", "p99.9", "max"];

/// The metric of this name.
pub fn named(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

impl Metric {
    /// The number to compare with: microseconds for times, else as it is; or what would fit.
    pub fn limit(&self, stat: &str, quantity: Quantity) -> Result<f64, &'static str> {
        let unit = if stat == "count" { Unit::Count } else { self.unit };
        match (unit, quantity) {
            (Unit::Time, Quantity::Time(time)) => Ok(time.as_secs_f64() * 1e6),
            (Unit::Rate, Quantity::PerSecond(rate)) => Ok(rate),
            (Unit::Share, Quantity::Share(share)) => Ok(share),
            (Unit::Count | Unit::Share, Quantity::Number(number)) => Ok(number),
            // Zero is zero in every unit.
            (_, Quantity::Number(0.0)) => Ok(0.0),
            (Unit::Time, _) => Err("a time, such as <50ms"),
            (Unit::Rate, _) => Err("a rate, such as at least 1000/s"),
            (Unit::Count, _) => Err("a number, such as 0"),
            (Unit::Share, _) => Err("a share, such as at most 80%"),
        }
    }
}
