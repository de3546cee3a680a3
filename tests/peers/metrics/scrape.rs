//! What was scraped, by the parser of `prometheus-parse`.

use std::collections::{BTreeMap, BTreeSet};

use prometheus_parse::{HistogramCount, LineInfo, Sample, Value};

const PREFIX: &str = "registry_notifications_";

pub(crate) struct Scrape(Vec<Sample>, BTreeMap<String, String>);

#[derive(Debug)]
pub(crate) struct Histogram {
    pub(crate) count: f64,
    pub(crate) sum: f64,
    pub(crate) buckets: Vec<HistogramCount>,
}

impl Histogram {
    pub(crate) fn up_to(&self, limit: f64) -> f64 {
        let bucket = self.buckets.iter().find(|it| it.less_than == limit);
        bucket.expect("no such bucket").count
    }
}

impl Scrape {
    /// The parser passes over what it does not understand; there may be no such line.
    pub(crate) fn parse(text: &str) -> Self {
        for line in text.lines() {
            assert_ne!(LineInfo::parse(line), LineInfo::Ignored, "{line}");
        }
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        let scrape = prometheus_parse::Scrape::parse(lines).unwrap();
        let ours = |sample: &Sample| sample.metric.starts_with(PREFIX);
        let samples = scrape.samples.into_iter().filter(ours).collect();
        Self(samples, scrape.docs.into_iter().collect())
    }

    /// The value of a counter or gauge with these labels and no others.
    pub(crate) fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        match self.sample(metric, labels)?.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => Some(value),
            _ => None,
        }
    }

    fn sample(&self, metric: &str, labels: &[(&str, &str)]) -> Option<&Sample> {
        let mut found = self.0.iter().filter(|sample| {
            let has = |(name, value): &(&str, &str)| sample.labels.get(name) == Some(value);
            sample.metric.strip_prefix(PREFIX) == Some(metric)
                && sample.labels.len() == labels.len()
                && labels.iter().all(has)
        });
        let first = found.next();
        assert!(found.next().is_none(), "{metric} {labels:?} twice");
        first
    }

    /// The counters of an endpoint by another label.
    pub(crate) fn by(&self, metric: &str, label: &str, endpoint: &str) -> BTreeMap<String, f64> {
        let samples = self.0.iter().filter(|sample| {
            sample.metric.strip_prefix(PREFIX) == Some(metric)
                && sample.labels.get("endpoint") == Some(endpoint)
        });
        let values = samples.map(|sample| {
            let Value::Counter(value) = sample.value else {
                panic!("{sample:?}");
            };
            (sample.labels.get(label).unwrap().to_owned(), value)
        });
        values.collect()
    }

    pub(crate) fn histogram(&self, metric: &str, endpoint: &str) -> Histogram {
        let labels = [("endpoint", endpoint)];
        let value = |suffix: &str| self.value(&format!("{metric}_{suffix}"), &labels);
        let buckets = match self.sample(metric, &labels).map(|it| &it.value) {
            Some(Value::Histogram(buckets)) => buckets.clone(),
            other => panic!("{metric} of {endpoint}: {other:?}"),
        };
        Histogram {
            count: value("count").unwrap(),
            sum: value("sum").unwrap(),
            buckets,
        }
    }

    /// The table in the docs of `Notifier` has all that there is and no more,
    /// with type and labels.
    pub(crate) fn is_as_documented(&self) {
        // Without a journal there are no metrics of one.
        let of_journal = |line: &&str| line.contains("_journal_") || line.contains("not_durable");
        let table = include_str!("../../../src/notifier/notifier.rs").lines();
        let table = table.filter(|line| !of_journal(line));
        let rows = table.filter(|line| line.starts_with("/// | `registry_notifications_"));
        let documented: BTreeSet<_> = rows
            .map(|row| {
                let cells: Vec<_> = row.split('|').map(|cell| cell.trim()).collect();
                let labels = cells[3].split(", ").filter(|it| !it.is_empty());
                let labels: BTreeSet<_> = labels.map(bare).collect();
                (bare(cells[1]), cells[2].to_owned(), labels)
            })
            .collect();
        let scraped: BTreeSet<_> = self.0.iter().filter_map(described).collect();
        assert_eq!(scraped, documented);
        for (name, ..) in scraped {
            assert!(self.1.contains_key(&name), "{name} has no HELP");
        }
    }
}

fn bare(code: &str) -> String {
    code.trim_matches('`').to_owned()
}

fn described(sample: &Sample) -> Option<(String, String, BTreeSet<String>)> {
    let kind = match sample.value {
        Value::Counter(_) => "counter",
        Value::Gauge(_) => "gauge",
        Value::Histogram(_) => "histogram",
        Value::Summary(_) => "summary",
        // Count and sum of a histogram.
        Value::Untyped(_) => return None,
    };
    let labels = sample.labels.keys().cloned().collect();
    Some((sample.metric.clone(), kind.into(), labels))
}
