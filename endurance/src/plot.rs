//! Lines over time as SVG. They follow the reader's light or dark scheme.

use std::fmt::Write as _;

/// A line: points of (minutes, value).
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 48.0;
const ROOM: (f64, f64) = (WIDTH - LEFT - 120.0, HEIGHT - TOP - 40.0);
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.t{font-weight:600;font-size:14px}.n{fill:#57606a}\
.x{stroke:#d0d7de}.l{fill:none;stroke-width:1.5}.s0{stroke:#1f77b4}.s1{stroke:#c98f3a}.f0{fill:#1f77b4}.f1{fill:#c98f3a}\
.w{stroke:#7a8b99;stroke-dasharray:5 3}@media(prefers-color-scheme:dark){text{fill:#e6edf3}.n{fill:#9198a1}.x{stroke:#3d444d}}";

/// Draws up to two series. At `mark` (minutes) stands a dashed line.
pub(crate) fn lines(title: &str, note: &str, mark: f64, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|one| &one.points);
    let end = all().map(|(at, _)| *at).fold(0.01, f64::max);
    let most = all().map(|(_, value)| *value).fold(1.0, f64::max);
    let step = nice_step(most / 5.0);
    let top = (most / step).ceil() * step;
    let x = |at: f64| LEFT + at / end * ROOM.0;
    let y = |value: f64| TOP + ROOM.1 - value / top * ROOM.1;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n\
         <title>{title}</title><style>{STYLE}</style>\n<text class=\"t\" x=\"8\" y=\"18\">{title}</text><text class=\"n\" x=\"8\" y=\"36\">{note}</text>\n"
    );
    let mut value = 0.0;
    while value <= top + step / 2.0 {
        let at = y(value);
        let _ = writeln!(
            out,
            "<line class=\"x\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{:.1}\" y2=\"{at:.1}\"/><text class=\"n\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
            LEFT + ROOM.0,
            LEFT - 6.0,
            at + 4.0
        );
        value += step;
    }
    let step = nice_step(end / 8.0);
    let mut at = 0.0;
    while at <= end {
        let _ = writeln!(
            out,
            "<text class=\"n\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{at} min</text>",
            x(at),
            TOP + ROOM.1 + 18.0
        );
        at += step;
    }
    let _ = writeln!(
        out,
        "<line class=\"w\" x1=\"{0:.1}\" y1=\"{TOP}\" x2=\"{0:.1}\" y2=\"{1:.1}\"/>",
        x(mark),
        TOP + ROOM.1
    );
    for (i, one) in series.iter().enumerate() {
        // More points than can be seen would only make a large file.
        let thin = one.points.len().div_ceil(600).max(1);
        let points: Vec<_> = one
            .points
            .iter()
            .step_by(thin)
            .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value)))
            .collect();
        let last = one.points.last().map_or(0.0, |(_, value)| *value);
        let _ = writeln!(
            out,
            "<polyline class=\"l s{i}\" points=\"{}\"/><text class=\"f{i}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            points.join(" "),
            LEFT + ROOM.0 + 8.0,
            y(last) + if i == 0 { -4.0 } else { 12.0 },
            one.name
        );
    }
    out.push_str("</svg>\n");
    out
}

/// 1, 2 or 5 of some power of ten, not below this.
fn nice_step(least: f64) -> f64 {
    let mut step = 0.1;
    loop {
        for factor in [1.0, 2.0, 5.0] {
            if step * factor >= least {
                return step * factor;
            }
        }
        step *= 10.0;
    }
}
