//! Measured times come back as long as they were.

use harness::latency::{LONGEST_US, Measured, Metric};

#[test]
fn times_of_every_length_are_kept_within_a_thousandth() {
    for micros in [1, 2, 2_047, 2_048, 5_000, 123_456, 9_876_543, LONGEST_US] {
        let mut measured = Measured::default();
        // The first one sets the histogram's size; the second one must not be cut to it.
        for micros in [1, micros] {
            measured.record(Metric::DeliverLatency, micros);
        }
        let found = measured.value(Metric::DeliverLatency, "max").unwrap();
        let off = (found - micros as f64).abs() / micros as f64;
        assert!(off <= 0.001, "{micros} µs came back as {found}");
    }
}

#[test]
fn what_is_too_long_is_counted_and_not_dropped() {
    let mut measured = Measured::default();
    measured.record(Metric::DeliverLatency, LONGEST_US * 2);
    assert_eq!(measured.value(Metric::DeliverLatency, "count"), Some(1.0));
    let found = measured.value(Metric::DeliverLatency, "max").unwrap();
    assert!(found >= LONGEST_US as f64, "{found}");
}
