// SPDX-License-Identifier: Apache-2.0
//! Columns, and numbers for people.

/// Rows under a head, each column as wide as its widest cell. The last column is not padded.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time span in its two largest units.
pub(super) fn span(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Bytes, in units that leave three digits.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut unit = "B";
    for next in UNITS {
        if number < 1000.0 {
            break;
        }
        (number, unit) = (number / 1024.0, next);
    }
    if unit == "B" || number >= 100.0 { format!("{number:.0} {unit}") } else { format!("{number:.1} {unit}") }
}

/// The beginning of an id, and its route: who has the whole id has the session.
pub(super) fn short_id(id: &str) -> String {
    let (random, route) = id.split_once('.').unwrap_or((id, ""));
    let beginning: String = random.chars().take(8).collect();
    let dots = if random.chars().count() > 8 { "…" } else { "" };
    if route.is_empty() { format!("{beginning}{dots}") } else { format!("{beginning}{dots}.{route}") }
}

/// Text from the cluster for a terminal: nothing that moves its cursor.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["longer".to_owned(), "22".to_owned()]];
        assert_eq!(table(&["id", "n"], &rows), "id      n\na       1\nlonger  22\n");
    }

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(3_600_000 + 120_000), "1 h 2 min");
        assert_eq!(span(90_000_000), "1 d 1 h");
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1000), "1.0 KiB");
        assert_eq!(size(150 << 20), "150 MiB");
    }

    #[test]
    fn ids_are_shortened_but_keep_their_route() {
        assert_eq!(short_id("0123456789ABCDEF.node1"), "01234567….node1");
        assert_eq!(short_id("abc"), "abc");
    }

    #[test]
    fn text_of_others_moves_no_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\u{fffd}");
    }
}
