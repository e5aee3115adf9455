//! Snapshots against the model, whole and split.

use super::{any, assert_same, key_value, otlp_resource, resource, text};
use crate::encode::{envelope, metrics};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;
use std::fmt;
use std::sync::Arc;
use telemetry_core::metric::{self, Labels, Snapshot};

proptest! {
    #[test]
    fn snapshot_is_the_message_that_prost_would_write(snapshot in snapshots()) {
        let requests = metric_requests(&snapshot, usize::MAX);
        let expected = expected_metrics(&snapshot);
        match requests.as_slice() {
            [] => prop_assert_eq!(expected.resource_metrics.len(), 0),
            [(body, points)] => {
                assert_same(body, &expected);
                prop_assert_eq!(*points, snapshot.points() as u64);
            }
            _ => prop_assert!(false, "one request is enough"),
        }
    }

    #[test]
    fn split_snapshot_has_every_point_once(snapshot in snapshots(), bytes_max in 1..600_usize) {
        let mut points = Vec::new();
        for (body, count) in metric_requests(&snapshot, bytes_max) {
            let request = ExportMetricsServiceRequest::decode(&*body).unwrap();
            prop_assert_eq!(request.encode_to_vec(), body);
            let here = metric_points(&request);
            prop_assert_eq!(here.len() as u64, count);
            prop_assert!(count > 0, "an empty envelope");
            points.extend(here);
        }
        let whole = metric_points(&expected_metrics(&snapshot));
        prop_assert_eq!(points, whole);
    }
}

fn metric_requests(snapshot: &Snapshot, bytes_max: usize) -> Vec<(Vec<u8>, u64)> {
    let mut requests = Vec::new();
    let resource = envelope::resource(&resource());
    metrics::snapshot(snapshot, &resource, bytes_max, &mut |body, points| {
        requests.push((body.to_vec(), points));
    });
    requests
}

/// Every point with its metric's name and kind, printed.
fn metric_points(request: &ExportMetricsServiceRequest) -> Vec<String> {
    let scopes = request.resource_metrics.iter().flat_map(|group| &group.scope_metrics);
    let mut points = Vec::new();
    for metric in scopes.flat_map(|group| &group.metrics) {
        let of = |kind: &str, point: &dyn fmt::Debug| {
            format!("{} {} {} {kind} {point:?}", metric.name, metric.unit, metric.description)
        };
        match metric.data.as_ref().unwrap() {
            otlp::metric::Data::Gauge(gauge) => {
                points.extend(gauge.data_points.iter().map(|point| of("gauge", point)));
            }
            otlp::metric::Data::Sum(sum) => {
                let kind = format!("{} {}", sum.is_monotonic, sum.aggregation_temporality);
                points.extend(sum.data_points.iter().map(|point| of(&kind, point)));
            }
            otlp::metric::Data::Histogram(histogram) => {
                let kind = histogram.aggregation_temporality.to_string();
                points.extend(histogram.data_points.iter().map(|point| of(&kind, point)));
            }
            otlp::metric::Data::ExponentialHistogram(histogram) => {
                let kind = histogram.aggregation_temporality.to_string();
                points.extend(histogram.data_points.iter().map(|point| of(&kind, point)));
            }
            other => panic!("{other:?}"),
        }
    }
    points
}

fn otlp_labels(labels: &Labels) -> Vec<KeyValue> {
    use any_value::Value as Any;
    let value = |value: &metric::Value| match value {
        metric::Value::Str(value) => text(value.to_string()),
        metric::Value::I64(value) => any(Any::IntValue(*value)),
        metric::Value::F64(value) => any(Any::DoubleValue(*value)),
        metric::Value::Bool(value) => any(Any::BoolValue(*value)),
        _ => unreachable!("not generated"),
    };
    labels.iter().map(|(key, label)| key_value(key, value(label))).collect()
}

fn otlp_number(
    point: &metric::Point<metric::Number>,
    unix_ns: u64,
    has_start: bool,
) -> otlp::NumberDataPoint {
    use otlp::number_data_point::Value as Number;
    let value = match point.value {
        metric::Number::U64(value) if value > i64::MAX as u64 => Number::AsDouble(value as f64),
        metric::Number::U64(value) => Number::AsInt(value as i64),
        metric::Number::I64(value) => Number::AsInt(value),
        metric::Number::F64(value) => Number::AsDouble(value),
        _ => unreachable!("not generated"),
    };
    otlp::NumberDataPoint {
        attributes: otlp_labels(&point.labels),
        start_time_unix_nano: if has_start { point.start_unix_ns.min(unix_ns) } else { 0 },
        time_unix_nano: unix_ns,
        value: Some(value),
        ..otlp::NumberDataPoint::default()
    }
}

fn otlp_histogram(
    point: &metric::Point<metric::HistogramValue>,
    unix_ns: u64,
    bounds: &[f64],
) -> otlp::HistogramDataPoint {
    otlp::HistogramDataPoint {
        attributes: otlp_labels(&point.labels),
        start_time_unix_nano: point.start_unix_ns.min(unix_ns),
        time_unix_nano: unix_ns,
        count: point.value.count,
        sum: Some(point.value.sum),
        bucket_counts: point.value.buckets.clone(),
        explicit_bounds: bounds.to_vec(),
        min: point.value.min,
        max: point.value.max,
        ..otlp::HistogramDataPoint::default()
    }
}

fn otlp_exponential(
    point: &metric::Point<metric::HistogramValue<metric::ExponentialBuckets>>,
    unix_ns: u64,
) -> otlp::ExponentialHistogramDataPoint {
    use otlp::exponential_histogram_data_point::Buckets;
    let buckets = &point.value.buckets;
    let range = |range: &metric::ExponentialRange| {
        let (offset, bucket_counts) = (range.offset, range.counts.clone());
        (!bucket_counts.is_empty()).then_some(Buckets { offset, bucket_counts })
    };
    otlp::ExponentialHistogramDataPoint {
        attributes: otlp_labels(&point.labels),
        start_time_unix_nano: point.start_unix_ns.min(unix_ns),
        time_unix_nano: unix_ns,
        count: point.value.count,
        sum: Some(point.value.sum),
        scale: buckets.scale,
        zero_count: buckets.zero_count,
        positive: range(&buckets.positive),
        negative: range(&buckets.negative),
        min: point.value.min,
        max: point.value.max,
        ..otlp::ExponentialHistogramDataPoint::default()
    }
}

fn otlp_metric(metric: &metric::Metric, unix_ns: u64) -> otlp::Metric {
    use metric::Data;
    let numbers = |points: &[metric::Point<metric::Number>], has_start| {
        points.iter().map(|point| otlp_number(point, unix_ns, has_start)).collect()
    };
    let sum = |points: &[metric::Point<metric::Number>], is_monotonic| {
        otlp::metric::Data::Sum(otlp::Sum {
            data_points: numbers(points, true),
            aggregation_temporality: 2,
            is_monotonic,
        })
    };
    let data = match &metric.data {
        Data::Counter { points } => sum(points, true),
        Data::UpDownCounter { points } => sum(points, false),
        Data::Gauge { points } => {
            otlp::metric::Data::Gauge(otlp::Gauge { data_points: numbers(points, false) })
        }
        Data::Histogram { bounds, points } => {
            let point = |point| otlp_histogram(point, unix_ns, bounds);
            otlp::metric::Data::Histogram(otlp::Histogram {
                data_points: points.iter().map(point).collect(),
                aggregation_temporality: 2,
            })
        }
        Data::ExponentialHistogram { points } => {
            let point = |point| otlp_exponential(point, unix_ns);
            otlp::metric::Data::ExponentialHistogram(otlp::ExponentialHistogram {
                data_points: points.iter().map(point).collect(),
                aggregation_temporality: 2,
            })
        }
        _ => unreachable!("not generated"),
    };
    otlp::Metric {
        name: metric.name.to_string(),
        description: metric.description.to_string(),
        unit: metric.unit.to_string(),
        data: Some(data),
        ..otlp::Metric::default()
    }
}

fn expected_metrics(snapshot: &Snapshot) -> ExportMetricsServiceRequest {
    if snapshot.points() == 0 {
        return ExportMetricsServiceRequest::default();
    }
    let group = otlp::ScopeMetrics {
        scope: Some(InstrumentationScope {
            name: "telemetry-toolkit".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        metrics: snapshot
            .metrics
            .iter()
            .filter(|metric| metric.data.points() > 0)
            .map(|metric| otlp_metric(metric, snapshot.unix_ns))
            .collect(),
        ..otlp::ScopeMetrics::default()
    };
    let group = otlp::ResourceMetrics {
        resource: otlp_resource(),
        scope_metrics: vec![group],
        ..otlp::ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![group] }
}

fn labels() -> impl Strategy<Value = Labels> {
    let value = prop_oneof![
        ".{0,6}".prop_map(metric::Value::from),
        proptest::num::i64::ANY.prop_map(metric::Value::from),
        proptest::num::f64::NORMAL.prop_map(metric::Value::from),
        proptest::bool::ANY.prop_map(metric::Value::from),
    ];
    vec(("[a-z]{1,6}", value), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}

fn points<V: fmt::Debug>(
    value: impl Strategy<Value = V>,
) -> impl Strategy<Value = Vec<metric::Point<V>>> {
    let point = (labels(), 0..1_u64 << 60, value)
        .prop_map(|(labels, start_unix_ns, value)| metric::Point { labels, start_unix_ns, value });
    vec(point, 0..5)
}

/// Buckets of any scale, with counts that take one byte to ten.
fn exponential_buckets() -> impl Strategy<Value = metric::ExponentialBuckets> {
    let count = prop_oneof![0..3_u64, proptest::num::u64::ANY];
    let range = || {
        (proptest::num::i32::ANY, vec(count.clone(), 0..40))
            .prop_map(|(offset, counts)| metric::ExponentialRange { offset, counts })
    };
    (-10..=20, 0..3_u64, range(), range()).prop_map(|(scale, zero_count, positive, negative)| {
        metric::ExponentialBuckets { scale, zero_count, positive, negative }
    })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    use metric::{Data, HistogramValue, Number};
    let float = proptest::num::f64::NORMAL;
    let unsigned =
        prop_oneof![proptest::num::u64::ANY.prop_map(Number::U64), float.prop_map(Number::F64),];
    let histogram = (0..9_u64, float, proptest::option::of(float), vec(0..99_u64, 4)).prop_map(
        |(count, sum, extreme, buckets)| HistogramValue {
            count,
            sum,
            min: extreme,
            max: extreme,
            buckets,
        },
    );
    let exponential = (0..9_u64, float, proptest::option::of(float), exponential_buckets())
        .prop_map(|(count, sum, extreme, buckets)| HistogramValue {
            count,
            sum,
            min: extreme,
            max: extreme,
            buckets,
        });
    let data = prop_oneof![
        points(unsigned).prop_map(|points| Data::Counter { points }),
        points(proptest::num::i64::ANY.prop_map(Number::I64))
            .prop_map(|points| Data::UpDownCounter { points }),
        points(float.prop_map(Number::F64)).prop_map(|points| Data::Gauge { points }),
        points(histogram)
            .prop_map(|points| Data::Histogram { bounds: Arc::new([0.0, 1.5, 9.0]), points }),
        points(exponential).prop_map(|points| Data::ExponentialHistogram { points }),
    ];
    let metric = ("[a-z.]{1,9}", "[a-z ]{0,9}", "[a-z{}]{0,5}", data).prop_map(
        |(name, description, unit, data)| metric::Metric {
            name: name.into(),
            description: description.into(),
            unit: unit.into(),
            data,
        },
    );
    (vec(metric, 0..5), 0..1_u64 << 60).prop_map(|(metrics, unix_ns)| Snapshot {
        start_unix_ns: 0,
        unix_ns,
        metrics,
    })
}
