//! What `/metrics` tells: requests by route and status, their latencies, and the state of what is served.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::histogram::{BOUNDS_MICROS, Histogram, SHARDS, Sum, shard};
use super::route::{ROUTES, Route};
use crate::keep::Served;

/// The statuses we answer with; any other is counted under the last.
const STATUSES: [u16; 14] = [200, 202, 204, 400, 403, 404, 405, 408, 413, 422, 503, 507, 500, 0];

/// Everything that is counted while requests pass.
#[derive(Debug)]
pub struct Metrics {
    shards: Box<[Shard; SHARDS]>,
    connections: AtomicI64,
}

/// One copy; aligned so that two copies never share a pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    requests: [[AtomicU64; STATUSES.len()]; ROUTES],
    latencies: [Histogram; ROUTES],
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { shards: Box::new(std::array::from_fn(|_| Shard::default())), connections: AtomicI64::new(0) }
    }
}

/// The state of what is served, at the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// The generation that answers.
    pub generation: u64,
    /// Visitors in it, the dead included.
    pub visitors: u64,
    /// Memberships in it, the dead included.
    pub memberships: u64,
    /// Segments in it.
    pub segments: u64,
    /// Visitors whom a change concerns that is not in it.
    pub touched: u64,
    /// How often the daily check found the generation sound.
    pub checks: u64,
    /// 1 when it found it damaged.
    pub damaged: u64,
}

impl State {
    /// Of what is served.
    #[must_use]
    pub fn of(served: &Served) -> State {
        State {
            generation: served.snapshot.generation(),
            visitors: served.snapshot.visitors(),
            memberships: served.snapshot.memberships(),
            segments: served.snapshot.segments().len() as u64,
            touched: served.overlay.touched(),
            checks: served.checks.load(Ordering::Relaxed),
            damaged: served.damaged.load(Ordering::Relaxed).into(),
        }
    }
}

impl Metrics {
    /// Counts so many answers. `latency` runs from the complete head of the request to the complete answer in memory; of
    /// answers that leave together to the last one.
    pub fn answered(&self, route: Route, status: StatusCode, latency: Duration, answers: u64) {
        let code = status.as_u16();
        let place = STATUSES.iter().position(|&known| known == code).unwrap_or(STATUSES.len() - 1);
        let shard = &self.shards[shard()];
        shard.requests[route as usize][place].fetch_add(answers, Ordering::Relaxed);
        shard.latencies[route as usize].record(latency, answers);
    }

    /// Counts a connection for as long as the result lives.
    #[must_use]
    pub fn connection(self: &std::sync::Arc<Self>) -> OpenConnection {
        self.connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    /// Connections open now.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// None in practice: writing to memory does not fail.
    pub fn scrape(self: &std::sync::Arc<Self>, state: State) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("usher");
        registry.register_collector(Box::new(Scrape { metrics: self.clone(), state }));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// An open connection, as the gauge sees it.
#[derive(Debug)]
pub struct OpenConnection(std::sync::Arc<Metrics>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Scrape {
    metrics: std::sync::Arc<Metrics>,
    state: State,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        self.requests(&mut encoder)?;
        self.latencies(&mut encoder)?;
        let gauges = [
            ("generation", "Generation that answers", self.state.generation),
            ("visitors", "Visitors in the generation, the dead included", self.state.visitors),
            ("memberships", "Memberships in the generation, the dead included", self.state.memberships),
            ("segments", "Segments in the generation", self.state.segments),
            ("touched_visitors", "Visitors whom a change concerns that no build has folded", self.state.touched),
            ("sound_checks", "How often the daily check found the generation sound", self.state.checks),
            ("damaged", "1 when the daily check found the generation damaged", self.state.damaged),
            ("open_connections", "Connections open now", u64::try_from(self.metrics.connections()).unwrap_or(0)),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)?;
        }
        Ok(())
    }
}

impl Scrape {
    fn requests(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut family = encoder.encode_descriptor("requests", "Requests answered", None, MetricType::Counter)?;
        for route in Route::ALL {
            for (place, status) in STATUSES.iter().enumerate() {
                let count = |shard: &Shard| shard.requests[route as usize][place].load(Ordering::Relaxed);
                let total: u64 = self.metrics.shards.iter().map(count).sum();
                if total > 0 {
                    let status = if *status == 0 { "other".to_owned() } else { status.to_string() };
                    let labels = [("route", route.template()), ("status", status.as_str())];
                    let counter = ConstCounter::new(total);
                    counter.encode(family.encode_family(&labels)?)?;
                }
            }
        }
        Ok(())
    }

    fn latencies(&self, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let help = "From the head of a request to its answer";
        let mut family =
            encoder.encode_descriptor("request_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for route in Route::ALL {
            let mut sum = Sum::default();
            for shard in self.metrics.shards.iter() {
                shard.latencies[route as usize].add_to(&mut sum);
            }
            let count = sum.buckets.iter().sum();
            if count == 0 {
                continue;
            }
            let ends = BOUNDS_MICROS.iter().map(|&micros| micros as f64 / 1e6).chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = ends.zip(sum.buckets).collect();
            let labels = [("route", route.template())];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_histogram::<[(&str, &str); 0]>(sum.nanos as f64 / 1e9, count, &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_scrape_adds_up_what_all_threads_counted() {
        let metrics = Arc::new(Metrics::default());
        let threads: Vec<_> = (0..2 * SHARDS)
            .map(|_| {
                let metrics = metrics.clone();
                std::thread::spawn(move || {
                    metrics.answered(Route::Visitor, StatusCode::OK, Duration::from_micros(7), 1);
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        metrics.answered(Route::Size, StatusCode::IM_A_TEAPOT, Duration::from_secs(60), 1);
        let open = metrics.connection();
        let state =
            State { generation: 3, visitors: 4, memberships: 5, segments: 6, touched: 7, checks: 8, damaged: 0 };
        let text = metrics.scrape(state).unwrap();
        drop(open);
        for line in [
            r#"usher_requests_total{route="/v1/visitors/{id}/segments",status="200"} 32"#,
            r#"usher_requests_total{route="/v1/size",status="other"} 1"#,
            r#"usher_request_duration_seconds_bucket{le="0.000005",route="/v1/visitors/{id}/segments"} 0"#,
            r#"usher_request_duration_seconds_bucket{le="0.00001",route="/v1/visitors/{id}/segments"} 32"#,
            r#"usher_request_duration_seconds_bucket{le="+Inf",route="/v1/size"} 1"#,
            "usher_generation 3",
            "usher_memberships 5",
            "usher_sound_checks 8",
            "usher_damaged 0",
            "usher_open_connections 1",
            "# EOF",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert_eq!(metrics.connections(), 0);
    }
}
