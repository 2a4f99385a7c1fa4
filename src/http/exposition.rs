//! Writes the metrics, in the two formats that Prometheus reads. `prometheus-client` writes OpenMetrics; the
//! differences of the older text format are all here.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    CounterValueEncoder, DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue,
    GaugeValueEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{FAMILIES, Family, Kind, Number, Values};
use super::response::Response;
use crate::status::Status;

/// The metrics in OpenMetrics 1.0.
#[must_use]
pub fn open_metrics(status: &Status<'_>) -> Response {
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Response::ok(media_type, write(status, Format::Open))
}

/// The metrics in Prometheus's text format 0.0.4.
#[must_use]
pub fn plain(status: &Status<'_>) -> Response {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Response::ok(media_type, write(status, Format::Plain))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Open,
    Plain,
}

/// The values at the time of the scrape, copied because the encoder takes nothing that borrows.
struct Snapshot {
    families: Vec<(&'static Family, Values)>,
    format: Format,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

fn write(status: &Status<'_>, format: Format) -> String {
    let families = FAMILIES.iter();
    let families = families.filter(|family| !status.nodes.is_empty() || !family.is_of_nodes());
    let families = families.map(|family| (family, family.read(status)));
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Snapshot {
        families: families.collect(),
        format,
    }));
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = match format {
        Format::Open => text::encode(&mut out, &registry),
        // This format has no end marker.
        Format::Plain => text::encode_registry(&mut out, &registry),
    };
    out
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for (family, values) in &self.families {
            match self.format {
                Format::Open => open_family(family, values, &mut encoder)?,
                Format::Plain => plain_family(family, values, &mut encoder)?,
            }
        }
        Ok(())
    }
}

/// The encoder adds the suffixes of names: the unit, `_total`, `_info`.
fn open_family(
    family: &Family,
    values: &Values,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let (name, unit) = if let Some(name) = family.name.strip_suffix("_seconds") {
        (name, Some(&Unit::Seconds))
    } else if let Some(name) = family.name.strip_suffix("_bytes") {
        (name, Some(&Unit::Bytes))
    } else {
        (family.name, None)
    };
    let kind = match family.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
        Kind::Info => MetricType::Info,
    };
    let mut metric = encoder.encode_descriptor(name, family.help, unit, kind)?;
    if let (Kind::Info, Values::Labelled(samples)) = (family.kind, values) {
        return samples
            .iter()
            .try_for_each(|(labels, _)| metric.encode_info(labels));
    }
    samples(values, metric, family.kind == Kind::Counter)
}

/// The text format has no units and no infos, and gives the type of a counter under the name of its samples. So
/// everything is written like a gauge, under its full name.
fn plain_family(
    family: &Family,
    values: &Values,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let (end, kind) = match family.kind {
        Kind::Counter => ("_total", MetricType::Counter),
        Kind::Gauge => ("", MetricType::Gauge),
        Kind::Histogram => ("", MetricType::Histogram),
        Kind::Info => ("_info", MetricType::Gauge),
    };
    let name = [family.name, end].concat();
    let metric = encoder.encode_descriptor(&name, family.help, None, kind)?;
    samples(values, metric, false)
}

/// Writes the samples, in the form of counters or of gauges.
fn samples(values: &Values, mut metric: MetricEncoder<'_>, count: bool) -> fmt::Result {
    match values {
        Values::One(number) => sample(&mut metric, number, count),
        Values::Labelled(samples) => samples.iter().try_for_each(|(labels, number)| {
            sample(&mut metric.encode_family(labels)?, number, count)
        }),
        Values::Histogram { sum, buckets } => {
            let held = buckets.iter().map(|(_, held)| held).sum();
            metric.encode_histogram::<NoLabelSet>(*sum, held, buckets, None)
        }
    }
}

fn sample(metric: &mut MetricEncoder<'_>, number: &Number, count: bool) -> fmt::Result {
    if count {
        metric.encode_counter::<NoLabelSet, _, f64>(number, None)
    } else {
        metric.encode_gauge(number)
    }
}

impl EncodeCounterValue for Number {
    fn encode(&self, encoder: &mut CounterValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => EncodeCounterValue::encode(number, encoder),
            Self::Real(number) => EncodeCounterValue::encode(number, encoder),
        }
    }
}

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => EncodeGaugeValue::encode(number, encoder),
            Self::Real(number) => EncodeGaugeValue::encode(number, encoder),
        }
    }
}
