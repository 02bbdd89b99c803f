//! A chart one line high.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The newest `width` values as bars, the largest of them full height.
pub(super) fn bars(values: &[f64], width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let top = shown.iter().copied().fold(0.0, f64::max);
    shown
        .iter()
        .map(|value| match *value {
            value if value <= 0.0 || top <= 0.0 => ' ',
            value => BARS[((value / top * BARS.len() as f64).ceil() as usize).clamp(1, BARS.len()) - 1],
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_relative_to_the_largest_shown() {
        assert_eq!(bars(&[0.0, 1.0, 4.0, 8.0], 10), " ▁▄█");
        assert_eq!(bars(&[8.0, 1.0, 2.0], 2), "▄█");
        assert_eq!(bars(&[0.0, 0.0], 2), "  ");
        assert_eq!(bars(&[], 5), "");
    }
}
