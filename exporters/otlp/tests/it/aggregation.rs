//! Exponential histograms beside those of the OpenTelemetry SDK, value by value.

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, ExponentialBucket, MetricData};
use opentelemetry_sdk::metrics::{
    Aggregation, InMemoryMetricExporter, Instrument, PeriodicReader, SdkMeterProvider, Stream,
};
use proptest::collection::vec;
use proptest::prelude::*;
use telemetry_core::metric::{
    Buckets, Data, ExponentialBuckets, ExponentialRange, HistogramValue, Registry,
};

/// What the SDK makes of the values.
fn of_sdk(values: &[f64]) -> HistogramValue<ExponentialBuckets> {
    let exporter = InMemoryMetricExporter::default();
    let exponential = |_: &Instrument| {
        let aggregation = Aggregation::Base2ExponentialHistogram {
            max_size: 160,
            max_scale: 20,
            record_min_max: true,
        };
        Stream::builder().with_aggregation(aggregation).build().ok()
    };
    let provider = SdkMeterProvider::builder()
        .with_reader(PeriodicReader::builder(exporter.clone()).build())
        .with_view(exponential)
        .build();
    let histogram = provider.meter("test").f64_histogram("size").build();
    values.iter().for_each(|value| histogram.record(*value, &[]));
    provider.force_flush().unwrap();
    let exported = exporter.get_finished_metrics().unwrap();
    let metric = exported.iter().flat_map(|resource| resource.scope_metrics()).next().unwrap();
    let metric = metric.metrics().next().unwrap();
    let AggregatedMetrics::F64(MetricData::ExponentialHistogram(data)) = metric.data() else {
        panic!("{metric:?}")
    };
    let point = data.data_points().next().unwrap();
    let range = |bucket: &ExponentialBucket| ExponentialRange {
        offset: if bucket.counts().next().is_some() { bucket.offset() } else { 0 },
        counts: bucket.counts().collect(),
    };
    HistogramValue {
        count: point.count() as u64,
        sum: point.sum(),
        min: point.min(),
        max: point.max(),
        buckets: ExponentialBuckets {
            scale: point.scale().into(),
            zero_count: point.zero_count(),
            positive: range(point.positive_bucket()),
            negative: range(point.negative_bucket()),
        },
    }
}

fn of_ours(values: &[f64]) -> HistogramValue<ExponentialBuckets> {
    let registry = Registry::new();
    registry.set_buckets("size", Buckets::exponential()).unwrap();
    let histogram = registry.histogram("size", ());
    values.iter().for_each(|value| histogram.record(*value));
    let Data::ExponentialHistogram { points } = &registry.snapshot(0).metrics[0].data else {
        panic!()
    };
    points[0].value.clone()
}

/// Close together and far apart, of both signs, with zeros.
fn values() -> impl Strategy<Value = Vec<f64>> {
    let octaves = prop_oneof![Just(0.1), Just(1.0), Just(10.0), Just(200.0)];
    (octaves, -100.0..100.0_f64).prop_flat_map(|(octaves, middle)| {
        let value = (-1.0..1.0_f64, 0..8_u8).prop_map(move |(place, kind)| {
            let magnitude = (middle + octaves * place).exp2();
            match kind {
                0 => 0.0,
                1 | 2 => -magnitude,
                _ => magnitude,
            }
        });
        vec(value, 1..200)
    })
}

proptest! {
    #[test]
    fn exponential_histogram_is_that_of_the_sdk(values in values()) {
        let (ours, expected) = (of_ours(&values), of_sdk(&values));
        prop_assert_eq!(ours.buckets, expected.buckets);
        prop_assert_eq!((ours.count, ours.sum), (expected.count, expected.sum));
        prop_assert_eq!((ours.min, ours.max), (expected.min, expected.max));
    }
}
