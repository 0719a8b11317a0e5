//! Charts in SVG. Positions along the width are percentages, so that a chart fits any screen while its text keeps its size; what
//! needs a path is drawn in an inner coordinate system of 1000 units that is stretched. No styles inline: classes only.

pub mod axis;
pub mod bar;
pub mod budget;
pub mod fall;
pub mod line;
pub mod stacked;

/// Units across an inner coordinate system.
const UNITS: f64 = 1000.0;

/// `share` of the width as an SVG percentage, within 0 and 100.
fn across(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    format!("{}%", trimmed(share * 100.0, 2))
}

/// A number without digits that say nothing: coordinates make up most of a chart's bytes.
fn trimmed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    if !text.contains('.') {
        return text;
    }
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}
