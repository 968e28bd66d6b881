// SPDX-License-Identifier: Apache-2.0
//! A real browser without a window, led by its driver as a person's hand would lead it (W3C WebDriver).

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::client::Client;
use super::{PATIENCE, process, scratch_dir, wait_until};

/// Starting a browser on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
/// What WebDriver calls the key under which it names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window. It ends when this is dropped.
pub struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
}

/// Something on the page that is shown.
pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Browser {
    /// Starts driver and browser; neither leaves loopback unless a page does.
    ///
    /// # Panics
    /// If one of them does not come up.
    pub fn start() -> Browser {
        let folder = scratch_dir("browser");
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").env("HOME", &folder).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut driver = process::spawn(command.process_group(0), "chromedriver (package chromium-driver)");
        let address = SocketAddr::from(([127, 0, 0, 1], port_of(&mut driver)));
        let mut browser = Browser { driver, address, session: String::new() };
        let wishes =
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments(&folder)}}}});
        let session = browser.ask("POST", "/session", &wishes);
        browser.session = format!("/session/{}", session["sessionId"].as_str().expect("a session"));
        browser
    }

    pub fn open(&self, url: &str) {
        self.tell("/url", &json!({"url": url}));
    }

    pub fn title(&self) -> String {
        self.ask("GET", &format!("{}/title", self.session), &Value::Null)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The source of the page.
    pub fn source(&self) -> String {
        self.ask("GET", &format!("{}/source", self.session), &Value::Null)
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Runs a script in the page, and gives what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.tell("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Does what leads to another page, and waits until that is there whole: a click alone may return before.
    #[track_caller]
    fn leave(&self, click: impl FnOnce()) {
        self.run("window.isLeft = true");
        click();
        let question =
            json!({"script": "return !window.isLeft && document.readyState === 'complete'", "args": []});
        let target = format!("{}/execute/sync", self.session);
        wait_until("the next page", PATIENCE, || {
            self.attempt("POST", &target, &question) == Ok(Value::Bool(true))
        });
    }

    /// The first element of an XPath expression.
    ///
    /// # Panics
    /// If the page has none.
    #[track_caller]
    pub fn find(&self, path: &str) -> Element<'_> {
        let found = self.tell("/element", &json!({"using": "xpath", "value": path}));
        let id = found[ELEMENT].as_str().unwrap_or_else(|| panic!("no {path} in {}", self.source()));
        Element { browser: self, id: id.to_owned() }
    }

    /// Follows the link with this text, and waits for the next page.
    #[track_caller]
    pub fn follow(&self, text: &str) {
        let link = self.find(&format!("//a[text()='{text}']"));
        self.leave(|| link.click());
    }

    /// Writes into the field of this name, in place of what it holds.
    #[track_caller]
    pub fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("//input[@name='{name}']"));
        field.tell("clear", &json!({}));
        field.tell("value", &json!({"text": text}));
    }

    /// Sends the form that is shown, and waits for the next page.
    #[track_caller]
    pub fn submit(&self) {
        let button = self.find("//input[@type='submit']");
        self.leave(|| button.click());
    }

    fn tell(&self, command: &str, words: &Value) -> Value {
        self.ask("POST", &format!("{}{command}", self.session), words)
    }

    #[track_caller]
    fn ask(&self, method: &str, target: &str, words: &Value) -> Value {
        self.attempt(method, target, words).unwrap_or_else(|why| panic!("{method} {target} {words}: {why}"))
    }

    /// As [`Browser::ask`] where a page that is just going away may be in the way: then the error says so.
    fn attempt(&self, method: &str, target: &str, words: &Value) -> Result<Value, Value> {
        let headers = [("Content-Type", "application/json")];
        let body = if words.is_null() { Vec::new() } else { words.to_string().into_bytes() };
        let mut client = Client::new(self.address).limit(LIMIT);
        let response = client.request(method, target, &headers, &body).expect("an answer of the driver");
        let mut answer: Value = serde_json::from_slice(&response.body).expect("JSON of the driver");
        if response.status == 200 { Ok(answer["value"].take()) } else { Err(answer) }
    }
}

impl Element<'_> {
    #[track_caller]
    pub fn click(&self) {
        self.tell("click", &json!({}));
    }

    #[track_caller]
    pub fn text(&self) -> String {
        let target = format!("{}/element/{}/text", self.browser.session, self.id);
        self.browser.ask("GET", &target, &Value::Null).as_str().unwrap_or_default().to_owned()
    }

    #[track_caller]
    fn tell(&self, command: &str, words: &Value) {
        self.browser.tell(&format!("/element/{}/{command}", self.id), words);
    }
}

/// The driver chooses a port and says so in a line of its own.
fn port_of(driver: &mut Child) -> u16 {
    let output = driver.stdout.take().expect("the driver's output");
    let mut lines = BufReader::new(output).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, rest) = line.split_once("started successfully on port ")?;
        rest.trim_end_matches('.').parse().ok()
    });
    // Somebody has to read on, or the driver stands still when the pipe is full.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    port.expect("the driver's port")
}

/// Neither a sandbox (which root cannot have) nor a graphics card is needed for pages of our own, and nothing is asked
/// of the world outside.
fn arguments(folder: &Path) -> Vec<String> {
    let fixed = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-proxy-server",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    ];
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    fixed.into_iter().map(str::to_owned).chain([profile]).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when the session ends; what is left is ended by its number.
        let browsers = process::children(self.driver.id());
        if !self.session.is_empty() {
            let _ = Client::new(self.address).limit(LIMIT).request("DELETE", &self.session, &[], b"");
        }
        process::end(&mut self.driver, Signal::SIGTERM, Duration::from_secs(20));
        for browser in browsers.into_iter().filter(|pid| process::is_alive(*pid)) {
            process::signal(browser, Signal::SIGKILL);
        }
    }
}
