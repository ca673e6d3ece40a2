//! Measured values: the closed list of metrics, their histograms, and the limits set on them.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::observe::Time;
use crate::plan::{Op, Threshold};
use crate::verdict::Verdict;

/// Longest time told apart, in microseconds: ten minutes. What takes longer counts as an overflow.
pub const LONGEST_US: u64 = 600_000_000;
/// Points kept of the course over time. A longer run gets wider points.
pub const POINTS_MAX: usize = 600;
/// The harness is trusted while its 99th percentile of lateness stays below this, unless the
/// scenario sets a limit on `harness.lateness` itself.
pub const LATENESS_LIMIT_US: f64 = 10_000.0;
/// A standstill of the harness beyond this voids what it says of times.
pub const STALL_LIMIT: Duration = Duration::from_secs(1);

/// Something measured. The list is closed, so that a slip of the pen in a scenario is an error.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(missing_docs, reason = "METRICS says what each is")]
pub enum Metric {
    OpenLatency,
    OpenFailed,
    JoinLatency,
    AckLatency,
    DeliverLatency,
    DeliverService,
    DeliverRate,
    MessagesLost,
    MessagesDuplicated,
    MessagesDisordered,
    PresenceConverge,
    CloseUnexpected,
    ReconnectLatency,
    HarnessLateness,
    HarnessCpu,
    HarnessLoopLag,
}

/// What a metric's values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Microseconds, in a histogram.
    Micros,
    /// A number of events.
    Count,
    /// Events a second.
    Rate,
    /// A share: 1.0 is one core.
    Share,
}

/// Every metric: its name in scenarios and reports, its unit, and what it measures.
pub const METRICS: [(Metric, &str, Unit, &str); 16] = [
    (Metric::OpenLatency, "open.latency", Unit::Micros, "from the connect to the greeting"),
    (Metric::OpenFailed, "open.failed", Unit::Count, "connections that could not be opened"),
    (Metric::JoinLatency, "join.latency", Unit::Micros, "from the request to the entry"),
    (Metric::AckLatency, "ack.latency", Unit::Micros, "from a message to its confirmation"),
    (Metric::DeliverLatency, "deliver.latency", Unit::Micros, "from the intended send time"),
    (Metric::DeliverService, "deliver.latency.service", Unit::Micros, "from the actual send"),
    (Metric::DeliverRate, "deliver.rate", Unit::Rate, "deliveries a second"),
    (Metric::MessagesLost, "messages.lost", Unit::Count, "copies that never came"),
    (Metric::MessagesDuplicated, "messages.duplicated", Unit::Count, "copies too many"),
    (Metric::MessagesDisordered, "messages.disordered", Unit::Count, "copies out of order"),
    (Metric::PresenceConverge, "presence.converge", Unit::Micros, "until a change is everywhere"),
    (Metric::CloseUnexpected, "close.unexpected", Unit::Count, "connections that ended unasked"),
    (Metric::ReconnectLatency, "reconnect.latency", Unit::Micros, "until a client is back"),
    (Metric::HarnessLateness, "harness.lateness", Unit::Micros, "how late the harness sent"),
    (Metric::HarnessCpu, "harness.cpu", Unit::Share, "cores that the harness used"),
    (Metric::HarnessLoopLag, "harness.loop_lag", Unit::Micros, "how late its own timers fired"),
];

impl Metric {
    /// The metric of this name.
    pub fn named(name: &str) -> Option<Self> {
        METRICS.iter().find(|(_, n, ..)| *n == name).map(|&(metric, ..)| metric)
    }

    /// Its name.
    pub fn as_str(self) -> &'static str {
        METRICS.iter().find(|(m, ..)| *m == self).map_or("", |(_, name, ..)| name)
    }

    /// What its values are.
    pub fn unit(self) -> Unit {
        METRICS.iter().find(|(m, ..)| *m == self).map_or(Unit::Count, |(_, _, unit, _)| *unit)
    }

    /// It tells of the harness, not of the target.
    pub fn is_own(self) -> bool {
        matches!(self, Self::HarnessLateness | Self::HarnessCpu | Self::HarnessLoopLag)
    }
}

/// A histogram of times.
#[derive(Clone, Debug)]
pub struct Times {
    histogram: Histogram<u64>,
    overflowed: u64,
}

impl Default for Times {
    fn default() -> Self {
        let mut histogram = Histogram::new(3).expect("three digits are allowed");
        histogram.auto(true);
        Self { histogram, overflowed: 0 }
    }
}

impl Times {
    /// Takes in one time.
    pub fn record(&mut self, micros: u64) {
        self.overflowed += u64::from(micros > LONGEST_US);
        // Not the saturating way: that one does not let the histogram grow.
        self.histogram.record(micros.min(LONGEST_US)).expect("the histogram grows as needed");
    }

    /// Takes in all of another's times.
    pub fn merge(&mut self, other: &Self) {
        self.overflowed += other.overflowed;
        self.histogram.add(&other.histogram).expect("the histogram grows as needed");
    }

    /// The histogram, in microseconds.
    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// How many times were longer than [`LONGEST_US`]; they are counted as that long.
    pub fn overflowed(&self) -> u64 {
        self.overflowed
    }

    /// The values that reports show; none when nothing was measured.
    pub fn stats(&self) -> Option<TimeStats> {
        let h = &self.histogram;
        (!h.is_empty()).then(|| TimeStats {
            count: h.len(),
            min: h.min(),
            mean: h.mean(),
            p50: h.value_at_quantile(0.5),
            p90: h.value_at_quantile(0.9),
            p99: h.value_at_quantile(0.99),
            p999: h.value_at_quantile(0.999),
            max: h.max(),
        })
    }
}

/// The values of a histogram that reports show, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimeStats {
    /// How many were measured.
    pub count: u64,
    /// The shortest.
    pub min: u64,
    /// The mean.
    pub mean: f64,
    /// The median.
    pub p50: u64,
    /// Nine in ten are at most this.
    pub p90: u64,
    /// 99 in 100 are at most this.
    pub p99: u64,
    /// 999 in 1000 are at most this.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// One stretch of the course over time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Its beginning, in seconds since the run began.
    pub second: u64,
    /// How many were measured in it.
    pub count: u64,
    /// Their 99th percentile, in microseconds; the worst second's where seconds were joined.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// The course of a metric over time, in a bounded number of points.
#[derive(Clone, Debug)]
pub struct Course {
    points: Vec<Point>,
    width: u64,
    now: u64,
    current: Times,
}

impl Default for Course {
    fn default() -> Self {
        Self { points: Vec::new(), width: 1, now: 0, current: Times::default() }
    }
}

impl Course {
    fn record(&mut self, at: Time, micros: u64) {
        let second = at.0 / 1_000_000;
        // What comes late is counted where it came: a closed point is not opened again.
        if second >= self.now + self.width {
            self.close();
            self.now = second - second % self.width;
        }
        self.current.record(micros);
    }

    fn close(&mut self) {
        if let Some(stats) = self.current.stats() {
            let TimeStats { count, p99, max, .. } = stats;
            self.points.push(Point { second: self.now, count, p99, max });
            self.current.histogram.reset();
        }
        if self.points.len() > POINTS_MAX {
            self.widen(self.width * 2);
        }
    }

    fn widen(&mut self, width: u64) {
        self.width = width;
        let mut joined: Vec<Point> = Vec::with_capacity(self.points.len());
        for point in self.points.drain(..) {
            let second = point.second - point.second % width;
            match joined.last_mut() {
                Some(last) if last.second == second => {
                    last.count += point.count;
                    last.p99 = last.p99.max(point.p99);
                    last.max = last.max.max(point.max);
                }
                _ => joined.push(Point { second, ..point }),
            }
        }
        self.points = joined;
    }

    fn merge(&mut self, mut other: Self) {
        self.close();
        other.close();
        self.points.append(&mut other.points);
        self.points.sort_unstable_by_key(|point| point.second);
        let mut width = self.width.max(other.width);
        self.widen(width);
        while self.points.len() > POINTS_MAX {
            width *= 2;
            self.widen(width);
        }
        self.now = self.now.max(other.now);
        self.now -= self.now % self.width;
    }
}

/// What was counted or measured without a histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Number {
    /// The sum, or the number of events.
    pub count: f64,
    /// The lowest.
    pub min: f64,
    /// The mean.
    pub mean: f64,
    /// The highest.
    pub max: f64,
}

/// Everything measured in a run, or in one part of it; parts are merged.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    times: BTreeMap<Metric, Times>,
    numbers: BTreeMap<Metric, Number>,
    course: Course,
}

impl Measured {
    /// Takes in one time.
    pub fn record(&mut self, metric: Metric, micros: u64) {
        self.times.entry(metric).or_default().record(micros);
    }

    /// Takes in the latency of one delivery, from the intended and from the actual send.
    pub fn delivered(&mut self, at: Time, intended: Time, sent: Time) {
        let latency = at.0.saturating_sub(intended.0);
        self.record(Metric::DeliverLatency, latency);
        self.record(Metric::DeliverService, at.0.saturating_sub(sent.0));
        self.course.record(at, latency);
    }

    /// Counts events.
    pub fn count(&mut self, metric: Metric, more: u64) {
        #[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
        let more = more as f64;
        let number = self.numbers.entry(metric).or_default();
        number.count += more;
        *number = Number { count: number.count, min: 0.0, mean: number.count, max: number.count };
    }

    /// Sets a number measured elsewhere.
    pub fn set(&mut self, metric: Metric, number: Number) {
        self.numbers.insert(metric, number);
    }

    /// Takes in what another part measured. Numbers add up.
    pub fn merge(&mut self, other: Self) {
        for (metric, times) in &other.times {
            self.times.entry(*metric).or_default().merge(times);
        }
        for (metric, more) in other.numbers {
            let number = self.numbers.entry(metric).or_default();
            number.count += more.count;
            number.min += more.min;
            number.mean += more.mean;
            number.max += more.max;
        }
        self.course.merge(other.course);
    }

    /// All times measured.
    pub fn times(&self) -> impl Iterator<Item = (Metric, &Times)> {
        self.times.iter().map(|(metric, times)| (*metric, times))
    }

    /// The times of one metric.
    pub fn times_of(&self, metric: Metric) -> Option<&Times> {
        self.times.get(&metric)
    }

    /// All numbers.
    pub fn numbers(&self) -> impl Iterator<Item = (Metric, Number)> {
        self.numbers.iter().map(|(metric, number)| (*metric, *number))
    }

    /// The course of `deliver.latency` over time.
    pub fn course(&self) -> Vec<Point> {
        let mut course = self.course.clone();
        course.close();
        course.points
    }

    /// A value by its names in a threshold; none when nothing was measured or it has no such value.
    pub fn value(&self, metric: Metric, stat: &str) -> Option<f64> {
        if metric.unit() == Unit::Micros {
            return time_value(self.times.get(&metric).map(Times::histogram), stat);
        }
        // Nothing counted is a count of nothing.
        let none = (metric.unit() == Unit::Count).then(Number::default);
        let number = self.numbers.get(&metric).copied().or(none)?;
        match stat {
            "count" => Some(number.count),
            "min" => Some(number.min),
            "mean" => Some(number.mean),
            "max" => Some(number.max),
            _ => None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 microseconds")]
fn time_value(histogram: Option<&Histogram<u64>>, stat: &str) -> Option<f64> {
    if stat == "count" {
        return Some(histogram.map_or(0, Histogram::len) as f64);
    }
    let histogram = histogram.filter(|h| !h.is_empty())?;
    match stat {
        "min" => Some(histogram.min() as f64),
        "max" => Some(histogram.max() as f64),
        "mean" => Some(histogram.mean()),
        _ => {
            let percent: f64 = stat.strip_prefix('p')?.parse().ok()?;
            (0.0..=100.0)
                .contains(&percent)
                .then(|| histogram.value_at_quantile(percent / 100.0) as f64)
        }
    }
}

/// What came of a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The metric.
    pub metric: Metric,
    /// Which of its values.
    pub stat: String,
    /// The limit as the user wrote it.
    pub text: String,
    /// The limit.
    pub limit: f64,
    /// What was found; none when nothing was measured.
    pub found: Option<f64>,
    /// What it says.
    pub verdict: Verdict,
}

/// Judges every limit. `stall` is the longest time for which the harness did not run.
pub fn thresholds(limits: &[Threshold], measured: &Measured, stall: Duration) -> Vec<Held> {
    let late = is_late(limits, measured, stall);
    limits.iter().filter_map(|limit| held(limit, measured, late)).collect()
}

/// Whether the harness itself was too late for its times to be the target's.
pub fn is_late(limits: &[Threshold], measured: &Measured, stall: Duration) -> bool {
    let mut own = limits.iter().filter(|l| l.metric == Metric::HarnessLateness.as_str()).peekable();
    if stall > STALL_LIMIT {
        return true;
    }
    if own.peek().is_none() {
        let p99 = measured.value(Metric::HarnessLateness, "p99");
        return p99.is_some_and(|p99| p99 > LATENESS_LIMIT_US);
    }
    let found = |l: &Threshold| measured.value(Metric::HarnessLateness, &l.stat);
    own.any(|l| found(l).is_some_and(|found| !keeps(l.op, found, l.limit)))
}

fn held(limit: &Threshold, measured: &Measured, late: bool) -> Option<Held> {
    let metric = Metric::named(&limit.metric)?;
    let found = measured.value(metric, &limit.stat);
    let kept = found.map(|found| keeps(limit.op, found, limit.limit));
    let verdict = match kept {
        None => Verdict::Inconclusive,
        // The harness's own limits say whether the rest can be believed; they accuse nobody.
        Some(false) if metric.is_own() => Verdict::Inconclusive,
        Some(_) if late && metric.unit() == Unit::Micros && !metric.is_own() => {
            Verdict::Inconclusive
        }
        // Fewer deliveries a second are the harness's own doing when it sends late.
        Some(false) if late && metric.unit() == Unit::Rate => Verdict::Inconclusive,
        Some(true) => Verdict::Passed,
        Some(false) => Verdict::Failed,
    };
    let (stat, text) = (limit.stat.clone(), limit.text.clone());
    Some(Held { metric, stat, text, limit: limit.limit, found, verdict })
}

#[expect(clippy::float_cmp, reason = "the user asks for exactly this number, mostly 0")]
fn keeps(op: Op, found: f64, limit: f64) -> bool {
    match op {
        Op::Lt => found < limit,
        Op::Le => found <= limit,
        Op::Eq => found == limit,
        Op::Ge => found >= limit,
        Op::Gt => found > limit,
    }
}
