// SPDX-License-Identifier: Apache-2.0
//! Reads the tables of cases; `README.md` beside this file describes them.

use std::fs;

use crate::support::source_dir;

/// One file: lines of the main server, then sites.
#[allow(dead_code)] // not every program that has this file uses files
pub struct Table {
    pub main: Vec<String>,
    /// Files that lines name as `{FILES}/name`, by that name.
    pub files: Vec<(String, Vec<String>)>,
    pub sites: Vec<Site>,
}

/// A virtual host and the requests to it.
pub struct Site {
    pub name: String,
    pub lines: Vec<String>,
    pub cases: Vec<Case>,
}

pub struct Case {
    pub name: String,
    pub line: usize,
    pub steps: Vec<Step>,
    /// What members answer, each with the step (from 0) it is meant for.
    pub answers: Vec<(usize, String)>,
    pub differs: Option<Difference>,
    /// The same where the members of the table speak HTTP.
    pub differs_over_http: Option<Difference>,
}

/// What a client does on its one connection.
pub enum Step {
    /// A request, so many times in a row.
    Request { request: Request, times: usize },
    /// Bytes as they are, and the number of responses.
    Raw { bytes: Vec<u8>, responses: usize },
    /// Bytes of another protocol after an upgrade; then everything until the end.
    Tunnel(Vec<u8>),
}

#[derive(Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub version: String,
    pub headers: Vec<(String, String)>,
    pub body: Body,
    /// The body is sent only when the server asks for it.
    pub waits: bool,
}

#[derive(Default)]
pub enum Body {
    #[default]
    None,
    /// With its length.
    Whole(Vec<u8>),
    /// In chunks.
    Chunked(Vec<u8>),
}

/// An intended difference: each differing line has to contain one of the words.
pub struct Difference {
    pub words: Vec<String>,
    pub reason: String,
}

impl Difference {
    fn read(text: &str) -> Option<Difference> {
        let (words, reason) = text.split_once("]: ")?;
        let words = words.split(" | ").map(str::to_string).collect();
        Some(Difference { words, reason: reason.to_string() })
    }
}

fn file(folder: &str, name: &str) -> String {
    let file = source_dir().join("tests").join(folder).join(format!("{name}.cases"));
    fs::read_to_string(&file).expect("a table")
}

impl Table {
    #[allow(dead_code)] // not every program that has this file reads these tables
    pub fn read(name: &str) -> Table {
        Table::read_in("beside_stock", name)
    }

    /// The table of this name in a folder of `tests`.
    #[allow(dead_code)] // not every program that has this file asks
    pub fn read_in(folder: &str, name: &str) -> Table {
        Table::parse(&file(folder, name))
    }

    /// The table with HTTP members in place of AJP members.
    #[allow(dead_code)] // one of the programs that have this file asks
    pub fn read_over_http(name: &str) -> Table {
        let schemes = [("ajp://", "http://"), ("AJP://", "HTTP://"), ("Ajp://", "Http://")];
        let text = file("beside_stock", name);
        let text = schemes.iter().fold(text, |text, (ajp, http)| text.replace(ajp, http));
        Table::parse(&text)
    }

    fn parse(text: &str) -> Table {
        let mut table = Table { main: Vec::new(), files: Vec::new(), sites: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            table.line(line.trim(), number + 1);
        }
        table
    }

    fn line(&mut self, line: &str, number: usize) {
        if line.is_empty() || line.starts_with("# ") {
        } else if line == "=== main" {
            assert!(self.sites.is_empty(), "line {number}: the main server comes first");
        } else if let Some(name) = line.strip_prefix("=== file ") {
            assert!(self.sites.is_empty(), "line {number}: files come before the sites");
            self.files.push((name.to_string(), Vec::new()));
        } else if let Some(name) = line.strip_prefix("=== ") {
            let is_host = name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ');
            assert!(is_host, "line {number}: the name of a site becomes the name of its host");
            let name = name.to_string();
            self.sites.push(Site { name, lines: Vec::new(), cases: Vec::new() });
        } else if let Some(name) = line.strip_prefix("--- ") {
            let case = Case {
                name: name.to_string(),
                line: number,
                steps: Vec::new(),
                answers: Vec::new(),
                differs: None,
                differs_over_http: None,
            };
            self.sites.last_mut().expect("a site").cases.push(case);
        } else {
            match (self.sites.last_mut(), self.files.last_mut()) {
                (Some(site), _) => site.line(line, number),
                (None, Some((_, lines))) => lines.push(line.to_string()),
                (None, None) => self.main.push(line.to_string()),
            }
        }
    }
}

impl Site {
    /// The name by which clients ask for it.
    pub fn host(&self) -> String {
        format!("{}.test", self.name.replace(' ', "-"))
    }

    fn line(&mut self, line: &str, number: usize) {
        match self.cases.last_mut() {
            None => self.lines.push(line.to_string()),
            Some(case) => case.line(line).unwrap_or_else(|| panic!("line {number}: {line}")),
        }
    }
}

impl Case {
    fn line(&mut self, line: &str) -> Option<()> {
        if let Some(rest) = line.strip_prefix("differs [") {
            self.differs = Some(Difference::read(rest)?);
        } else if let Some(rest) = line.strip_prefix("over http differs [") {
            self.differs_over_http = Some(Difference::read(rest)?);
        } else if let Some(rest) = line.strip_prefix("raw ") {
            let (responses, bytes) = rest.split_once(' ')?;
            let bytes = unescaped(bytes);
            self.steps.push(Step::Raw { bytes, responses: responses.parse().ok()? });
        } else if let Some(rest) = line.strip_prefix("tunnel ") {
            self.steps.push(Step::Tunnel(unescaped(rest)));
        } else if let Some(rest) = line.strip_prefix("answer ") {
            self.answers.push((self.steps.len().checked_sub(1)?, rest.to_string()));
        } else if line
            .split(' ')
            .next()
            .is_some_and(|word| !word.contains(':') && word.to_uppercase() == word)
        {
            self.steps.push(Step::Request { request: Request::begin(line)?, times: 1 });
        } else {
            let Step::Request { request, times } = self.steps.last_mut()? else { return None };
            match line.split_once(' ').unwrap_or((line, "")) {
                ("times", count) => *times = count.parse().ok()?,
                ("waits", "") => request.waits = true,
                ("body", text) => request.body = Body::Whole(bytes(text)),
                ("chunked", text) => request.body = Body::Chunked(bytes(text)),
                _ => {
                    let (name, value) = line.split_once(':')?;
                    request.headers.push((name.to_string(), value.trim().to_string()));
                }
            }
        }
        Some(())
    }
}

/// A text, or for `*n` that many bytes.
pub fn bytes(text: &str) -> Vec<u8> {
    match text.strip_prefix('*').and_then(|count| count.parse().ok()) {
        Some(count) => (b'a'..=b'z').cycle().take(count).collect(),
        None => text.as_bytes().to_vec(),
    }
}

/// The bytes of a text with `\r`, `\n`, `\t` and `\xHH`.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let (byte, used) = match rest.as_bytes().get(at + 1) {
            Some(b'r') => (b'\r', 2),
            Some(b'n') => (b'\n', 2),
            Some(b't') => (b'\t', 2),
            Some(b'x') => (u8::from_str_radix(&rest[at + 2..at + 4], 16).expect("two digits"), 4),
            _ => (b'\\', 1),
        };
        bytes.push(byte);
        rest = &rest[at + used..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

impl Request {
    fn begin(line: &str) -> Option<Request> {
        let mut words = line.split(' ');
        let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
        let version = words.next().unwrap_or("HTTP/1.1").to_string();
        Some(Request { method, target, version, ..Request::default() })
    }

    /// Head and body to send, with `host` unless the case gives one or needs none.
    pub fn parts(&self, host: &str) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        for (name, value) in &self.headers {
            let value = match value.strip_prefix('*').and_then(|count| count.parse().ok()) {
                Some(count) => "v".repeat(count),
                None => value.clone(),
            };
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = match &self.body {
            Body::None => Vec::new(),
            Body::Whole(body) => {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                body.clone()
            }
            Body::Chunked(body) => {
                head.push_str("Transfer-Encoding: chunked\r\n");
                chunks(body)
            }
        };
        (head.into_bytes().into_iter().chain(*b"\r\n").collect(), body)
    }
}

pub fn chunks(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in body.chunks(5000) {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}
