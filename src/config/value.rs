// SPDX-License-Identifier: Apache-2.0
//! Values of parameters, read with mod_proxy's rules: what it accepts is accepted, what it misreads is said.

use std::time::Duration;

use crate::base::text::leading_integer;

/// How a value was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All of it.
    Whole,
    /// Only the number at its start.
    Number(i64),
    /// Nothing: no member of ours uses it.
    NoEffect,
}

/// Why a value was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// mod_proxy's text.
    pub stock: &'static str,
    /// What is wrong in particular.
    pub why: Option<String>,
    /// What was probably meant.
    pub guess: Option<&'static str>,
}

impl Refused {
    pub fn plain(stock: &'static str) -> Self {
        Self { stock, why: None, guess: None }
    }

    pub fn because(stock: &'static str, why: String) -> Self {
        Self { stock, why: Some(why), guess: None }
    }

    pub fn guess(stock: &'static str, guess: Option<&'static str>) -> Self {
        Self { stock, why: None, guess }
    }
}

/// The unit of a duration that names none.
#[derive(Clone, Copy)]
pub(crate) enum Unit {
    Seconds,
    Milliseconds,
}

/// Puts a value that was understood as a whole in its place.
pub(crate) fn taken<T>(place: &mut Option<T>, value: T) -> Result<Taken, Refused> {
    *place = Some(value);
    Ok(Taken::Whole)
}

/// A whole number; what follows its digits is ignored, no digits are 0.
pub(crate) fn number(
    place: &mut Option<u32>,
    value: &str,
    least: i32,
    most: i32,
    stock: &'static str,
) -> Result<Taken, Refused> {
    let (number, rest) = leading_integer(value);
    let in_range = (i64::from(least)..=i64::from(most)).contains(&number);
    let number = u32::try_from(number).ok().filter(|_| in_range).ok_or(Refused::plain(stock))?;
    *place = Some(number);
    Ok(if rest.is_empty() && !value.is_empty() { Taken::Whole } else { Taken::Number(number.into()) })
}

/// Whole seconds; a unit behind them is ignored.
pub(crate) fn seconds(
    place: &mut Option<Duration>,
    value: &str,
    least: i32,
    stock: &'static str,
) -> Result<Taken, Refused> {
    let mut count = None;
    let taken = number(&mut count, value, least, i32::MAX, stock)?;
    *place = count.map(|count| Duration::from_secs(count.into()));
    Ok(taken)
}

/// Bytes: 0 for the system's choice, or at least 512.
pub(crate) fn buffer(place: &mut Option<u32>, value: &str, stock: &'static str) -> Result<Taken, Refused> {
    let mut size = None;
    let taken = number(&mut size, value, 0, i32::MAX, stock)?;
    if matches!(size, Some(1..512)) {
        return Err(Refused::plain(stock));
    }
    *place = size;
    Ok(taken)
}

/// `On` or `Off`, any letter case. `on` is what `On` stands for.
pub(crate) fn switch(
    place: &mut Option<bool>,
    value: &str,
    on: bool,
    stock: &'static str,
) -> Result<Taken, Refused> {
    match value {
        _ if value.eq_ignore_ascii_case("on") => taken(place, on),
        _ if value.eq_ignore_ascii_case("off") => taken(place, !on),
        _ => Err(Refused::plain(stock)),
    }
}

/// Text of at most `longest` bytes.
pub(crate) fn short_text(
    place: &mut Option<String>,
    value: &str,
    longest: usize,
    stock: &'static str,
) -> Result<Taken, Refused> {
    if value.len() > longest { Err(Refused::plain(stock)) } else { taken(place, value.to_owned()) }
}

/// A number of at least one millisecond with an optional unit.
pub(crate) fn duration(
    place: &mut Option<Duration>,
    value: &str,
    unit: Unit,
    format: &'static str,
    least: &'static str,
) -> Result<Taken, Refused> {
    let parsed = parse_duration(value, unit).ok_or(Refused::plain(format))?;
    if parsed.is_zero() { Err(Refused::plain(least)) } else { taken(place, parsed) }
}

/// A whole number with `ms`, `s…`, `mi…` or `h…` behind it; lower case, no sign, no fraction, no blank.
pub(crate) fn parse_duration(value: &str, unit: Unit) -> Option<Duration> {
    if !value.starts_with(|c: char| c.is_ascii_digit()) {
        return value.is_empty().then_some(Duration::ZERO);
    }
    let (count, suffix) = leading_integer(value);
    let per_unit = match (suffix, unit) {
        ("", Unit::Milliseconds) => 1,
        ("", Unit::Seconds) => 1000,
        _ if suffix.starts_with("ms") => 1,
        _ if suffix.starts_with('s') => 1000,
        _ if suffix.starts_with("mi") => 60_000,
        _ if suffix.starts_with('h') => 3_600_000,
        _ => return None,
    };
    let milliseconds = u64::try_from(count).ok()?.checked_mul(per_unit)?;
    // httpd counts microseconds in a signed 64-bit number.
    (milliseconds <= i64::MAX as u64 / 1000).then(|| Duration::from_millis(milliseconds))
}

/// `loadfactor`: a decimal number of which two places are kept.
pub(crate) fn factor(place: &mut Option<u32>, value: &str, stock: &'static str) -> Result<Taken, Refused> {
    let text = value.trim_start();
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' && !text[..*at].contains('.')))
        .map_or(text.len(), |(at, _)| at);
    let number: f64 = text[..end].parse().unwrap_or(0.0);
    if !(1.0..=100.0).contains(&number) {
        return Err(Refused::plain(stock));
    }
    // Rounding mends what binary fractions lose: 1.15 is 115, not 114.
    *place = Some((number * 100.0 + 1e-6) as u32);
    Ok(if end == text.len() { Taken::Whole } else { Taken::Number(number as i64) })
}

/// `addressttl`: -1, or seconds with an optional unit.
pub(crate) fn address_ttl(place: &mut Option<Option<Duration>>, value: &str) -> Result<Taken, Refused> {
    const STOCK: &str = "AddressTTL must be -1 or a number of seconds not exceeding (2147483647)";
    if value == "-1" {
        return taken(place, None);
    }
    let is_whole = |ttl: &Duration| ttl.subsec_nanos() == 0 && ttl.as_secs() <= i32::MAX as u64;
    match parse_duration(value, Unit::Seconds).filter(is_whole) {
        Some(ttl) if !value.is_empty() => taken(place, Some(ttl)),
        _ => Err(Refused::plain(STOCK)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_httpd() {
        let seconds = |text| parse_duration(text, Unit::Seconds);
        assert_eq!(seconds("5"), Some(Duration::from_secs(5)));
        assert_eq!(seconds("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(seconds("2min"), Some(Duration::from_secs(120)));
        assert_eq!(seconds("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(parse_duration("7", Unit::Milliseconds), Some(Duration::from_millis(7)));
        for wrong in ["5S", "500MS", "2m", "1d", "5.5s", "-1", "x", "9223372036854775807h"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_unit_behind_whole_seconds_is_noticed() {
        let mut place = None;
        assert_eq!(seconds(&mut place, "500ms", 1, ""), Ok(Taken::Number(500)));
        assert_eq!(place, Some(Duration::from_secs(500)));
        assert_eq!(seconds(&mut place, "0", 1, "no"), Err(Refused::plain("no")));
    }

    #[test]
    fn factors_keep_two_places() {
        let read = |text: &str| {
            let mut place = None;
            factor(&mut place, text, "no").map(|_| place.unwrap())
        };
        assert_eq!(read("1.15"), Ok(115));
        assert_eq!(read("2.999"), Ok(299));
        assert_eq!(read("100"), Ok(10_000));
        assert!(read("0.5").is_err() && read("101").is_err() && read("abc").is_err() && read("é").is_err());
    }
}
