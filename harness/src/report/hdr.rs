//! Files of HdrHistogram, for its own tools: `.hlog`, an interval log (V2) of one interval, and
//! `.hgrm`, a table of percentiles. Values are microseconds.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::IntervalLogWriterBuilder;
use jiff::Timestamp;

use crate::summary::Summary;

/// Steps of the percentile table in each half of the distance that is left to 100 %; what the
/// plotters of HdrHistogram expect.
const TICKS: u32 = 5;

/// The files of every measured time, by their names.
pub fn files(summary: &Summary) -> Vec<(String, Vec<u8>)> {
    let started = summary.started.parse::<Timestamp>().map_or(SystemTime::UNIX_EPOCH, Into::into);
    let took = Duration::try_from_secs_f64(summary.duration_s).unwrap_or_default();
    let mut files = Vec::new();
    for (metric, times) in summary.measured.times() {
        let histogram = times.histogram();
        if histogram.is_empty() {
            continue;
        }
        let name = metric.as_str();
        let about = format!("{name} in microseconds, scenario {}", one_line(&summary.scenario));
        files.push((format!("{name}.hlog"), log(histogram, &about, started, took)));
        files.push((format!("{name}.hgrm"), table(histogram).into_bytes()));
    }
    files
}

fn one_line(text: &str) -> String {
    super::words::cut(&super::words::clean(text), 200)
}

/// An interval log with the whole run as its one interval.
fn log(histogram: &Histogram<u64>, about: &str, started: SystemTime, took: Duration) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(about)
        .with_start_time(started)
        .with_base_time(started)
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("a vector takes everything")
        .write_histogram(histogram, Duration::ZERO, took, None)
        .expect("a histogram of these bounds can be written");
    bytes
}

/// The table that HdrHistogram calls the percentile distribution.
pub fn table(histogram: &Histogram<u64>) -> String {
    let mut text = format!(
        "{:>12} {:>14} {:>10} {:>14}\n\n",
        "Value", "Percentile", "TotalCount", "1/(1-Percentile)"
    );
    let mut total = 0;
    for step in histogram.iter_quantiles(TICKS) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to(), step.quantile_iterated_to());
        let rest = if quantile < 1.0 {
            format!("{:14.2}", 1.0 / (1.0 - quantile))
        } else {
            format!("{:>14}", "Infinity")
        };
        row(&mut text, format_args!("{value:>8}.000 {quantile:2.12} {total:10} {rest}"));
    }
    let (mean, spread) = (histogram.mean(), histogram.stdev());
    row(&mut text, format_args!("#[Mean    = {mean:12.3}, StdDeviation   = {spread:12.3}]"));
    let (max, count) = (histogram.max(), histogram.len());
    row(&mut text, format_args!("#[Max     = {max:>8}.000, Total count    = {count:12}]"));
    text
}

fn row(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a string takes everything");
}
