//! The table.

use std::fmt::Write;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) row: &'static str,
    pub(crate) what: String,
    pub(crate) floe: String,
    pub(crate) other: String,
    pub(crate) figure: String,
    pub(crate) bar: &'static str,
    pub(crate) goal: &'static str,
    pub(crate) met: Option<bool>,
}

/// The median of some figures.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map(|(_, name)| name);
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {}", model.unwrap_or("unknown"))
}

/// All lines as Markdown, with what they were measured on.
pub(crate) fn render(
    lines: &[Line],
    load_before: &str,
    versions: &[String],
    turns: usize,
    seconds: u64,
) -> String {
    let mut text = String::from("# Figures\n\n");
    let _ = writeln!(
        text,
        "Measured by `make bench`: the two sides turn by turn in one run, {turns} turns of {seconds} s, medians.\n\n\
         - processor: {}; load average before: {load_before}; client and servers share it\n- {}\n",
        processor(),
        versions.join("\n- ")
    );
    text += "| row | what | Floe | compared to | figure | bar | goal | bar met |\n|---|---|---|---|---|---|---|---|\n";
    for line in lines {
        let met = match line.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "–",
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {met} |",
            line.row, line.what, line.floe, line.other, line.figure, line.bar, line.goal
        );
    }
    text
}
