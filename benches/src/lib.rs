//! Benchmarks; see `benches/*.rs`.
