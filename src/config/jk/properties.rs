// SPDX-License-Identifier: Apache-2.0
//! Lines `name=value` of workers.properties, uriworkermap.properties and `JkWorkerProperty`.

use std::collections::HashMap;

use super::id;
use crate::config::finding::Finding;
use crate::config::origin::Origin;
use crate::config::url::shown;

/// mod_jk reads lines in pieces of this many characters.
const LONGEST_LINE: usize = 8192;
/// Variables that are replaced in one value.
const MOST_VARIABLES: usize = 20;
/// No value grows longer than this by its variables, which may hold variables of lines above, and so on.
const LONGEST_VALUE: usize = 8 * LONGEST_LINE;

/// One property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Property {
    pub name: String,
    pub value: String,
    /// The line that said it last.
    pub origin: Origin,
}

/// What becomes of a name that is said twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repetition {
    /// The later value takes the place of the earlier one.
    Replaces,
    /// The values become one, with this between them.
    Joins(char),
}

/// Properties in the order of their first lines.
#[derive(Debug, Default)]
pub(crate) struct Properties<'e> {
    list: Vec<Property>,
    by_name: HashMap<String, usize>,
    environment: Option<&'e HashMap<String, String>>,
    repetition: Option<fn(&str) -> Repetition>,
    pub findings: Vec<Finding>,
}

impl<'e> Properties<'e> {
    /// `environment`: of the process, for `$(name)` where no property has that name.
    pub fn new(environment: &'e HashMap<String, String>, repetition: fn(&str) -> Repetition) -> Self {
        Self { environment: Some(environment), repetition: Some(repetition), ..Self::default() }
    }

    /// Reads all lines of a file.
    pub fn read(&mut self, text: &str, file: &str) {
        let file: std::sync::Arc<str> = file.into();
        if text.starts_with('\u{feff}') {
            let origin = Origin { file: file.clone(), line: 1 };
            let text =
                "the file begins with a byte order mark, which becomes a part of the first line's name";
            self.findings.push(
                Finding::warning(id::ODD_VALUE, &origin, text)
                    .cured_by("Save the file as UTF-8 without a byte order mark."),
            );
        }
        for (number, line) in (1u32..).zip(text.split('\n')) {
            let origin = Origin { file: file.clone(), line: number };
            if line.len() > LONGEST_LINE {
                self.findings.push(long_line(line, &origin));
            }
            self.line(line.split('#').next().unwrap_or_default(), &origin);
        }
    }

    /// Reads one line without looking for comments, which only files have. One without `=` or without a value says
    /// nothing.
    pub fn line(&mut self, line: &str, origin: &Origin) {
        let Some((name, value)) = line.split_once('=') else { return };
        let (name, value) = (trimmed(name), trimmed(value));
        if !name.is_empty() && !value.is_empty() {
            let value = self.replaced(value, origin);
            self.set(name, value, origin);
        }
    }

    fn set(&mut self, name: &str, value: String, origin: &Origin) {
        let Some(&known) = self.by_name.get(name) else {
            self.by_name.insert(name.to_owned(), self.list.len());
            self.list.push(Property { name: name.to_owned(), value, origin: origin.clone() });
            return;
        };
        let known = &mut self.list[known];
        let repetition = self.repetition.map_or(Repetition::Replaces, |of| of(name));
        let counts = match repetition {
            Repetition::Replaces => "this line counts",
            Repetition::Joins('*') => "both values are joined, with * between",
            Repetition::Joins(_) => "",
        };
        if !counts.is_empty() {
            let text = format!("{} was said at {} already; {counts}", shown(name), known.origin);
            let cure = "Remove one of the two lines.";
            self.findings.push(Finding::warning(id::OVERWRITTEN, origin, text).cured_by(cure));
        }
        match repetition {
            Repetition::Replaces => known.value = value,
            Repetition::Joins(_) if known.value.len() > LONGEST_VALUE * 16 => {}
            Repetition::Joins(between) => {
                known.value.push(between);
                known.value.push_str(&value);
            }
        }
        known.origin = origin.clone();
    }

    /// Adds a property that nobody has said.
    pub fn add_if_missing(&mut self, name: &str, value: &str, origin: &Origin) {
        if !self.by_name.contains_key(name) {
            self.set(name, value.to_owned(), origin);
        }
    }

    pub fn get(&self, name: &str) -> Option<&Property> {
        self.by_name.get(name).map(|at| &self.list[*at])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Property> {
        self.list.iter()
    }

    /// `$(x)` gives way to the property x read before, else to the environment's; what is put in is not looked at again.
    fn replaced(&mut self, value: &str, origin: &Origin) -> String {
        let mut result = String::with_capacity(value.len());
        let mut rest = value;
        for _ in 0..MOST_VARIABLES {
            let Some(start) = rest.find("$(") else { break };
            let Some(length) = rest[start + 2..].find(')') else { break };
            let name = &rest[start + 2..start + 2 + length];
            let end = start + 2 + length + 1;
            let known = self.get(name).map(|property| property.value.as_str());
            let known = known.or_else(|| self.environment?.get(name).map(String::as_str));
            let known = known.filter(|known| result.len() + known.len() <= LONGEST_VALUE);
            result.push_str(&rest[..start]);
            result.push_str(known.unwrap_or(&rest[start..end]));
            if known.is_none() {
                let text = format!(
                    "$({}) is neither a property above this line nor a variable of the environment: it stays as it is",
                    shown(name)
                );
                self.findings.push(
                    Finding::warning(id::UNKNOWN_VARIABLE, origin, text)
                        .cured_by(format!("Write {}=… above this line.", shown(name))),
                );
            }
            rest = &rest[end..];
        }
        result.push_str(rest);
        result
    }
}

fn long_line(line: &str, origin: &Origin) -> Finding {
    let text = format!("a line of {} characters: mod_jk cuts it after {LONGEST_LINE}", line.len());
    Finding::warning(id::LONG_LINE, origin, text).cured_by("Write several lines in its place.")
}

/// Without the blanks of C around it.
fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n', '\x0b', '\x0c'])
}

/// `on`, `off`, a word by its first letter, or the very digit; `None`: as if nothing was said.
pub fn boolean(text: &str) -> Option<bool> {
    match text.as_bytes() {
        _ if text.eq_ignore_ascii_case("off") => Some(false),
        _ if text.eq_ignore_ascii_case("on") => Some(true),
        [b'F' | b'f' | b'N' | b'n', ..] | b"0" => Some(false),
        [b'T' | b't' | b'Y' | b'y', ..] | b"1" => Some(true),
        _ => None,
    }
}

/// The words of a list.
pub(crate) fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([' ', '\t', ',']).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<'e>(text: &str, environment: &'e HashMap<String, String>) -> Properties<'e> {
        let repetition = |name: &str| match name.ends_with(".list") {
            true => Repetition::Joins(','),
            false => Repetition::Replaces,
        };
        let mut properties = Properties::new(environment, repetition);
        properties.read(text, "workers.properties");
        properties
    }

    fn value(text: &str, name: &str) -> Option<String> {
        let environment = HashMap::from([("HOME".to_owned(), "/root".to_owned())]);
        read(text, &environment).get(name).map(|property| property.value.clone())
    }

    #[test]
    fn a_line_is_a_name_and_a_value_and_a_comment() {
        for (text, is) in [
            ("x = a b \r\n", Some("a b")),
            ("x=ab#cd", Some("ab")),
            ("x=a=b", Some("a=b")),
            ("# x=1", None),
            ("x=", None),
            ("x= #1", None),
            ("x", None),
            ("=1", None),
            ("x=1\\\n2", Some("1\\")),
        ] {
            assert_eq!(value(text, "x").as_deref(), is, "{text}");
        }
    }

    #[test]
    fn variables_are_earlier_properties_then_the_environment() {
        for (text, is) in [
            ("a=1\nx=$(a)$(a)", "11"),
            ("x=$(a)\na=1", "$(a)"),
            ("x=$(HOME)/y", "/root/y"),
            ("HOME=/h\nx=$(HOME)", "/h"),
            ("a=$(b)\nb=2\nx=$(a)", "$(b)"),
            ("x=$(open", "$(open"),
            ("x=$()", "$()"),
            ("a=1\nx=$($(a)", "$($(a)"),
        ] {
            assert_eq!(value(text, "x").as_deref(), Some(is), "{text}");
        }
    }

    #[test]
    fn the_last_line_counts_and_lists_are_joined() {
        let environment = HashMap::new();
        let properties = read("x=1\nworker.list=a\nx=2\nworker.list=b,c", &environment);
        assert_eq!(properties.get("x").unwrap().value, "2");
        assert_eq!(properties.get("worker.list").unwrap().value, "a,b,c");
        let [finding] = &properties.findings[..] else { panic!("{:?}", properties.findings) };
        assert_eq!((finding.id, finding.origin.line), (id::OVERWRITTEN, 3));
    }
}
