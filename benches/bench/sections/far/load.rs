//! One load on every route, at every distance and from every kind of clients.

use std::cmp::Ordering;
use std::io;
use std::time::Duration;

use super::DISTANCES;
use super::route::{KEYS, Routes};
use crate::dataset::Dataset;
use crate::figures::{count, figure, grouped, percent};
use crate::load::{self, Protocols, Shape};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::requests::Commands;
use crate::sections::{expect_misses, take_turns};
use crate::stats::{Sample, Series};

/// The numbers of clients, and which protocols they are measured in.
const CLIENTS: [(usize, &[Protocols]); 3] = [
    (1, &[Protocols::Resp2, Protocols::Resp3]),
    (10, &[Protocols::Resp2, Protocols::Resp3, Protocols::Both]),
    (50, &[Protocols::Resp2, Protocols::Resp3, Protocols::Both]),
];

/// The most that the way through the proxy may add to a percentile of the latency, in milliseconds.
const MOST_ADDED: f64 = 1.0;
/// The least requests a second, as a share of twemproxy's.
const LEAST_TO_TWEMPROXY: f64 = 0.95;
/// The least requests a second of a mix, as a multiple of what Redis alone answers.
const LEAST_OF_A_MIX: f64 = 3.0;

/// What was found of one load.
pub(super) struct Load {
    commands: Commands,
    found: Vec<Found>,
}

/// What was found at one distance, from one kind of clients.
struct Found {
    each_way: Duration,
    shape: Shape,
    direct: Series,
    /// None where the protocol is not twemproxy's.
    twemproxy: Option<Series>,
    proxy: Series,
}

impl Load {
    pub fn new(commands: Commands) -> Self {
        Self {
            commands,
            found: Vec::new(),
        }
    }

    /// Measures it at one distance.
    pub fn measure(&mut self, plan: &Plan, routes: &Routes) -> io::Result<()> {
        for (clients, protocols) in CLIENTS {
            for &protocols in protocols {
                let shape = Shape {
                    commands: self.commands,
                    protocols,
                    ..Shape::gets(clients, 1)
                };
                let found = Found::measure(plan, routes, shape)?;
                if self.commands == Commands::Gets {
                    expect_misses(&found.proxy)?;
                }
                self.found.push(found);
            }
        }
        Ok(())
    }

    /// Shows it, and holds it against the targets.
    pub fn report(&self, report: &mut Report) {
        report.table(self.table());
        for (each_way, _) in DISTANCES {
            if self.commands == Commands::Mix {
                self.judge_mix(report, each_way);
            } else {
                self.judge_latency(report, each_way, "p50", |sample| sample.p50);
                self.judge_latency(report, each_way, "p99", |sample| sample.p99);
                self.judge_rate(report, each_way);
            }
        }
    }

    fn name(&self) -> &'static str {
        match self.commands {
            Commands::Gets => "miss",
            Commands::Sets => "SET",
            Commands::Mix => "mix",
        }
    }

    fn table(&self) -> Table {
        let first = format!("{}, each way", self.name());
        let mut head = vec![&*first, "clients", "protocol"];
        for figure in FIGURES {
            head.extend([figure.heading, "twemproxy", "redis-proxy"]);
        }
        let is_mix = self.commands == Commands::Mix;
        if is_mix {
            head.push("GETs from the cache");
        }
        let mut table = Table::new(&head);
        for found in &self.found {
            let mut row = found.row();
            if is_mix {
                row.push(percent(found.hits()));
            }
            table.row(row);
        }
        table
    }

    fn judge_mix(&self, report: &mut Report, each_way: Duration) {
        let ratio = |found: &Found| Some(found.proxy.ratio(&found.direct, |sample| sample.rate));
        if let Some((ratio, found)) = self.worst(each_way, ratio, |a, b| b.total_cmp(a)) {
            let what = self.what("requests/s to direct", found);
            report.at_least(what, LEAST_OF_A_MIX, ratio, "");
        }
    }

    fn judge_latency(
        &self,
        report: &mut Report,
        each_way: Duration,
        name: &str,
        percentile: fn(&Sample) -> f64,
    ) {
        let added = |found: &Found| {
            let microseconds = found.proxy.difference(&found.direct, percentile);
            Some(microseconds / 1000.0)
        };
        if let Some((added, found)) = self.worst(each_way, added, f64::total_cmp) {
            let what = self.what(&format!("{name} above direct"), found);
            report.at_most(what, MOST_ADDED, added, "ms");
        }
    }

    fn judge_rate(&self, report: &mut Report, each_way: Duration) {
        let ratio = |found: &Found| {
            let twemproxy = found.twemproxy.as_ref()?;
            Some(found.proxy.ratio(twemproxy, |sample| sample.rate))
        };
        if let Some((ratio, found)) = self.worst(each_way, ratio, |a, b| b.total_cmp(a)) {
            let what = self.what("requests/s to twemproxy's", found);
            report.at_least(what, LEAST_TO_TWEMPROXY, ratio, "");
        }
    }

    /// The last of the figures at a distance, in an order in which the worst is last.
    fn worst(
        &self,
        each_way: Duration,
        figure: impl Fn(&Found) -> Option<f64>,
        order: fn(&f64, &f64) -> Ordering,
    ) -> Option<(f64, &Found)> {
        let there = self.found.iter().filter(|found| found.each_way == each_way);
        let figures = there.filter_map(|found| Some((figure(found)?, found)));
        figures.max_by(|(a, _), (b, _)| order(a, b))
    }

    /// What a target is about.
    fn what(&self, figure: &str, found: &Found) -> String {
        let clients = found.shape.clients;
        format!(
            "{}, {} each way: {figure}, at worst ({clients} client{}, {})",
            self.name(),
            found.distance(),
            if clients == 1 { "" } else { "s" },
            found.protocols(),
        )
    }
}

/// What is shown of each route.
struct Figure {
    /// The heading of the first route's column.
    heading: &'static str,
    show: fn(&Series) -> String,
}

const FIGURES: [Figure; 3] = [
    Figure {
        heading: "requests/s: direct",
        show: |series| grouped(series.median(|sample| sample.rate)),
    },
    Figure {
        heading: "p50 ms: direct",
        show: |series| figure(series.median(|sample| sample.p50) / 1000.0),
    },
    Figure {
        heading: "p99 ms: direct",
        show: |series| figure(series.median(|sample| sample.p99) / 1000.0),
    },
];

impl Found {
    fn measure(plan: &Plan, routes: &Routes, shape: Shape) -> io::Result<Self> {
        let order = [&routes.direct, &routes.proxy, &routes.twemproxy];
        let turn = |route: usize| {
            let route = order[route];
            let dataset = Dataset::of(KEYS);
            load::measure(route.entrance(), &route.redis, dataset, shape, plan.turn)
        };
        let (direct, proxy, twemproxy) = if shape.protocols == Protocols::Resp2 {
            let [direct, proxy, twemproxy] = take_turns(plan, turn)?;
            (direct, proxy, Some(twemproxy))
        } else {
            let [direct, proxy] = take_turns(plan, turn)?;
            (direct, proxy, None)
        };
        Ok(Self {
            each_way: routes.each_way,
            shape,
            direct,
            twemproxy,
            proxy,
        })
    }

    fn row(&self) -> Vec<String> {
        let clients = count(self.shape.clients as u32);
        let mut row = vec![self.distance(), clients, self.protocols().into()];
        for Figure { show, .. } in FIGURES {
            let routes = [
                Some(&self.direct),
                self.twemproxy.as_ref(),
                Some(&self.proxy),
            ];
            row.extend(routes.map(|series| series.map_or("-".into(), show)));
        }
        row
    }

    fn distance(&self) -> String {
        format!("{} ms", self.each_way.as_millis())
    }

    fn protocols(&self) -> &'static str {
        match self.shape.protocols {
            Protocols::Resp2 => "RESP2",
            Protocols::Resp3 => "RESP3",
            Protocols::Both => "both",
        }
    }

    /// The share of the GETs that the proxy answered without Redis.
    fn hits(&self) -> f64 {
        1.0 - self.proxy.ratio(&self.direct, |sample| sample.reads)
    }
}
