//! The tables, on standard output and as the page.

use crate::conditions::Conditions;
use crate::figures::precise;
use crate::plan::Plan;
use crate::plot::{self, Bars};

/// All that was found.
#[derive(Default)]
pub struct Report {
    sections: String,
    targets: Vec<Target>,
    bars: Vec<Bars>,
}

struct Target {
    what: String,
    bound: Bound,
    measured: f64,
    unit: &'static str,
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(most) => self.measured <= most,
            Bound::AtLeast(least) => self.measured >= least,
        }
    }
}

impl Report {
    /// Begins a section.
    pub fn begin(&mut self, title: &str, about: &str) {
        println!("\n{title}");
        self.sections += &format!("\n## {title}\n\n{about}\n");
    }

    /// Adds a table.
    pub fn table(&mut self, table: Table) {
        println!("\n{}", table.as_text());
        self.sections += &format!("\n{}", table.as_markdown());
    }

    /// Adds a sentence.
    pub fn text(&mut self, text: &str) {
        println!("\n{text}");
        self.sections += &format!("\n{text}\n");
    }

    /// Adds a group of bars to the plot.
    pub fn bars(&mut self, bars: Bars) {
        self.bars.push(bars);
    }

    /// The groups of bars.
    pub fn all_bars(&self) -> &[Bars] {
        &self.bars
    }

    /// Holds a figure against the most that it may be.
    pub fn at_most(&mut self, what: String, most: f64, measured: f64, unit: &'static str) {
        self.targets.push(Target {
            what,
            bound: Bound::AtMost(most),
            measured,
            unit,
        });
    }

    /// Holds a figure against the least that it may be.
    pub fn at_least(&mut self, what: String, least: f64, measured: f64, unit: &'static str) {
        self.targets.push(Target {
            what,
            bound: Bound::AtLeast(least),
            measured,
            unit,
        });
    }

    fn targets(&self) -> Table {
        let mut table = Table::new(&["", "target", "measured", ""]);
        for target in &self.targets {
            let (word, bound) = match target.bound {
                Bound::AtMost(most) => ("at most", most),
                Bound::AtLeast(least) => ("at least", least),
            };
            let number = |number| {
                format!("{} {}", precise(number), target.unit)
                    .trim()
                    .to_owned()
            };
            table.row([
                target.what.clone(),
                format!("{word} {}", number(bound)),
                number(target.measured),
                if target.is_met() {
                    "met"
                } else {
                    "**not met**"
                }
                .into(),
            ]);
        }
        table
    }

    /// The targets, for standard output.
    pub fn targets_as_text(&self) -> String {
        format!("\nTargets\n\n{}", self.targets().as_text())
    }

    /// The page.
    pub fn page(&self, conditions: &Conditions, plan: &Plan) -> String {
        let met = self.targets.iter().filter(|target| target.is_met()).count();
        format!(
            "# Benchmarks\n\n\
             Written by `make bench`; the program is in `benches/bench`.\n\n\
             ![CPU time of a hit, by pipeline]({plot})\n\n\
             ## Conditions\n\n{conditions}\n\
             {method}\n\
             ## Targets\n\n{met} of {all} are met.\n\n{targets}{sections}\n\
             ## Instructions\n\n\
             The instruction counts of the parser, the cache and the core, without the sockets, are in\n\
             [`benches/instructions.txt`](../benches/instructions.txt); `make bench-check` compares with it.\n",
            plot = plot::FILE,
            method = method(plan),
            all = self.targets.len(),
            targets = self.targets().as_markdown(),
            sections = self.sections,
        )
    }
}

/// How it is measured.
fn method(plan: &Plan) -> String {
    let cores = match plan.cores {
        Some(_) => "All servers run on one core and the load on another",
        None => "There is one core, for servers and load alike",
    };
    format!(
        "{cores}; everything goes over 127.0.0.1. Servers take turns, {} rounds of {} ms each, after a short \
         warm-up. A figure is the median of its rounds; a ratio or difference is the median of those within \
         a round. CPU is the time that all threads of the server process took, in user space and in the \
         kernel, per request, from `/proc/PID/task/*/schedstat`. The floor is an epoll server that reads, \
         counts bytes, and writes a fixed reply for each request.\n",
        plan.rounds,
        plan.turn.as_millis()
    )
}

/// A table.
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(ToString::to_string).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        debug_assert_eq!(cells.len(), self.head.len());
        self.rows.push(cells);
    }

    /// Whether a column holds numbers only.
    fn is_numeric(&self, column: usize) -> bool {
        self.rows.iter().all(|row| {
            row[column].starts_with(|first: char| first.is_ascii_digit() || first == '-')
        })
    }

    fn as_text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]);
            cells
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let mut text = String::new();
        for row in [&self.head].into_iter().chain(&self.rows) {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = width(column);
                if self.is_numeric(column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
            text += cells.collect::<Vec<_>>().join("  ").trim_end();
            text += "\n";
        }
        text.replace("**", "")
    }

    fn as_markdown(&self) -> String {
        let line = |row: &[String]| format!("| {} |\n", row.join(" | "));
        let rule: Vec<String> = (0..self.head.len())
            .map(|column| {
                if self.is_numeric(column) {
                    "--:"
                } else {
                    "---"
                }
                .into()
            })
            .collect();
        let mut text = line(&self.head) + &line(&rule);
        for row in &self.rows {
            text += &line(row);
        }
        text
    }
}
