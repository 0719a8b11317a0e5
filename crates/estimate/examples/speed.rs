//! How long an estimate takes over a year of hourly buckets: `cargo run --release -p assize-estimate --example speed`.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::time::Instant;

use assize_estimate::{Bucket, Estimand, Item, Options, Stratum, estimate};

const HOURS: i64 = 8_760;

/// Nanoseconds that the processor spent on this thread, where Linux tells.
fn processor() -> Option<f64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse().ok()
}

fn main() {
    let mut out = std::io::stdout().lock();
    for strata in [1_u16, 10] {
        let mut buckets = Vec::new();
        for hour in 0..HOURS {
            for cell in 0..strata {
                let mut bucket = Bucket::new(hour, Stratum { cell, ..Stratum::default() }, 1);
                for i in 0..40_u32 {
                    let part = |step: f64| ((f64::from(i) + 0.37 * hour as f64 + f64::from(cell)) * step).fract();
                    let (g, drawn) = (part(0.618_033_988_749_894_9), part(0.754_877_666_246_692_8) < 0.2);
                    let h = f64::from(u8::from(g > part(0.569_840_290_998_053_2)));
                    bucket.push(Item { probability: 0.2, drawn, free: g, reference: (drawn && i % 17 > 0).then_some(h) });
                }
                buckets.push(bucket);
            }
        }
        for estimand in [Estimand::Window, Estimand::Process] {
            let options = Options { estimand, ..Options::default() };
            let busy = processor();
            let mut times: Vec<f64> = (0..50)
                .map(|_| {
                    let start = Instant::now();
                    std::hint::black_box(estimate(std::hint::black_box(&buckets), &options).unwrap());
                    start.elapsed().as_secs_f64() * 1e3
                })
                .collect();
            times.sort_by(f64::total_cmp);
            let busy = busy.zip(processor()).map_or("not known".to_owned(), |(from, to)| format!("{:.2} ms", (to - from) / 50e6));
            let line = format!(
                "{} buckets, {}: {:.2} ms (median of 50; least {:.2}); of the processor {busy}",
                buckets.len(),
                estimand.name(),
                times[25],
                times[0]
            );
            drop(writeln!(out, "{line}"));
        }
    }
}
