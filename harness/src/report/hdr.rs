//! Histograms in the formats of HdrHistogram's own tools: `.hlog` (V2) and `.hgrm`.

use std::fmt::Write as _;
use std::io;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::latency::{Measured, Metric};

/// Steps between a percentile and the next halving of what is left, as in the original's tools.
const TICKS_PER_HALF: u32 = 5;

/// All histograms of a run as one interval log, each under its metric's name. Values in
/// microseconds.
pub fn hlog(measured: &Measured, started: SystemTime, took: Duration) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder.add_comment("values in microseconds");
    builder.with_start_time(started).with_base_time(started).with_max_value_divisor(1.0);
    let mut log = builder.begin_log_with(&mut out, &mut serializer)?;
    for (metric, times) in measured.times() {
        let tag = Tag::new(metric.as_str());
        log.write_histogram(times.histogram(), Duration::ZERO, took, tag)
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(out)
}

/// The percentile spectrum of one metric, in milliseconds; none when nothing was measured.
pub fn hgrm(measured: &Measured, metric: Metric) -> Option<String> {
    let histogram = measured.times_of(metric)?.histogram();
    (!histogram.is_empty()).then(|| spectrum(histogram))
}

#[expect(clippy::cast_precision_loss, reason = "times stay far below 2^53 microseconds")]
fn spectrum(histogram: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let mut count = 0;
    for step in histogram.iter_quantiles(TICKS_PER_HALF) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = step.value_iterated_to() as f64 / 1e3;
        let rest = 1.0 - quantile;
        let line = if rest > 0.0 {
            writeln!(out, "{value:12.3} {quantile:2.12} {count:10} {:14.2}", 1.0 / rest)
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {count:10}")
        };
        // Writing to a string cannot fail.
        line.unwrap_or_default();
    }
    let end = writeln!(
        out,
        "#[Mean    = {:12.3}, StdDeviation   = {:12.3}]\n#[Max     = {:12.3}, Total count    = {:12}]\n#[Buckets = {:12}, SubBuckets     = {:12}]",
        histogram.mean() / 1e3,
        histogram.stdev() / 1e3,
        histogram.max() as f64 / 1e3,
        histogram.len(),
        histogram.buckets(),
        2048,
    );
    end.unwrap_or_default();
    out
}
