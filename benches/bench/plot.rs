//! The plot: a group of bars for each pipeline, as an SVG that suits light and dark pages.

use std::fmt::Write;

use crate::figures::figure;

/// The name of its file.
pub const FILE: &str = "benchmarks.svg";

/// A group of bars, each with its name and length. Groups have a scale each.
pub struct Bars {
    /// What the group is.
    pub title: String,
    /// The bars from top to bottom.
    pub bars: Vec<(&'static str, f64)>,
}

const WIDTH: usize = 720;
const LEFT: usize = 120;
/// The length of the longest bar of a group; its figure stands behind it.
const LONGEST: f64 = 500.0;
const HEAD: usize = 56;
const BAR: usize = 18;
const STEP: usize = 24;
const TITLE: usize = 30;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.group { font-weight: 600 }
rect { fill: #8c959f }
rect.redis-proxy { fill: #0969da }
rect.floor { fill: #d0d7de }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
rect { fill: #7d8590 }
rect.redis-proxy { fill: #4493f8 }
rect.floor { fill: #3d444d }
}";

/// Draws all groups below one another.
pub fn draw(groups: &[Bars]) -> String {
    let mut body = String::new();
    let mut y = HEAD;
    for group in groups {
        // Writing to a String can't fail.
        let _ = writeln!(
            body,
            r#"<text class="group" x="0" y="{}">{}</text>"#,
            y + 14,
            group.title
        );
        y += TITLE;
        let longest = group.bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
        for (name, value) in &group.bars {
            let length = (value / longest * LONGEST).max(1.0);
            let _ = writeln!(
                body,
                r#"<text x="{}" y="{}" text-anchor="end">{name}</text><rect class="{name}" x="{LEFT}" y="{y}" width="{length:.1}" height="{BAR}" rx="2"/><text x="{:.1}" y="{}">{} µs</text>"#,
                LEFT - 8,
                y + 14,
                LEFT as f64 + length + 8.0,
                y + 14,
                figure(*value),
            );
            y += STEP;
        }
        y += STEP / 2;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" \
         height=\"{y}\" role=\"img\" aria-label=\"CPU time of a hit by pipeline\">\n\
         <style>\n{STYLE}\n</style>\n\
         <text class=\"title\" x=\"0\" y=\"18\">CPU time of a cached GET</text>\n\
         <text x=\"0\" y=\"38\">µs per request in the server process; 50 clients, 1,000 keys; each group to its own \
         scale</text>\n\
         {body}</svg>\n"
    )
}
