// SPDX-License-Identifier: Apache-2.0
//! The page for people: what stands around the workers. Markup, columns and names of fields are mod_jk's.

use std::fmt::Write;

use super::answer::{Content, Sheet};
use super::html_edit;
use super::html_list;
use super::link::{Carry, Link, target};
use super::query::{Command, Options};
use crate::status::escape::text as markup;

const BEGIN: &str = "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n\
<!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\" \
\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
<html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\"><head><title>JK Status Manager</title>";

/// The last line of every page.
const MAKER: &str = concat!("Margay/", env!("CARGO_PKG_VERSION"));

/// Seconds until the answer to a change gives way to the page before it.
const REDIRECT: u32 = 3;

pub(super) fn page(sheet: &Sheet<'_>) -> String {
    let mut html = Html { sheet, out: String::with_capacity(16 * 1024) };
    html.out.push_str(BEGIN);
    match &sheet.content {
        Content::Refused(refusal) => html.result(&refusal.to_string()),
        Content::Done => html.done(),
        _ => html.full(),
    }
    html.end();
    html.out
}

/// A page while it is written.
pub(super) struct Html<'a> {
    pub sheet: &'a Sheet<'a>,
    pub out: String,
}

impl Html<'_> {
    pub fn put(&mut self, text: &str) {
        self.out.push_str(text);
    }

    pub fn fmt(&mut self, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_fmt(text);
    }

    pub fn url(&self, link: Link<'_>) -> String {
        link.url(self.sheet.path, self.sheet.query)
    }

    /// A link with its text.
    pub fn anchor(&mut self, link: Link<'_>, text: &str) {
        let url = self.url(link);
        self.fmt(format_args!("<a href=\"{url}\">{text}</a>"));
    }

    pub fn hidden(&mut self, name: &str, value: &str) {
        self.fmt(format_args!(
            "<input type=\"hidden\" name=\"{}\" value=\"{}\"/>\n",
            markup(name),
            markup(value)
        ));
    }

    /// The parameters of the request as hidden fields, all but one.
    pub fn hidden_parameters(&mut self, but: &str) {
        let query = self.sheet.query;
        for (name, value) in query.pairs().filter(|(name, _)| *name != but) {
            self.hidden(name, value);
        }
    }

    pub fn begin_form(&mut self) {
        let action = target(self.sheet.path);
        self.fmt(format_args!("<form method=\"get\" action=\"{action}\">\n"));
    }

    /// The same page with other options.
    pub fn with_options(&self, set: u32, clear: u32) -> Link<'static> {
        Link { options: Some((self.sheet.options.0 | set) & !clear), ..Link::default() }
    }

    fn result(&mut self, message: &str) {
        let start = target(self.sheet.path);
        self.fmt(format_args!(
            "<p><b>Result: ERROR - {}</b><br/><a href=\"{start}\">JK Status Manager Start Page</a></p>",
            markup(message)
        ));
    }

    /// What stands below a change: soon the browser goes back to where it came from.
    fn done(&mut self) {
        let url = self.url(self.way_back());
        self.fmt(format_args!(
            "\n<meta http-equiv=\"Refresh\" content=\"{REDIRECT};url={url}\">\
             <p><b>Result: OK - You will be redirected in {REDIRECT} seconds.</b><p/>"
        ));
        self.start_link();
    }

    fn way_back(&self) -> Link<'static> {
        let from = match self.sheet.query.get("from") {
            None => Some(Command::List),
            Some(name) => Command::from_name(name),
        };
        let here = Some(self.sheet.command);
        match from {
            Some(Command::List) => Link { command: from, sw: Carry::Drop, ..Link::default() },
            Some(Command::Show) => {
                Link { command: from, sw: Carry::Drop, psw: Carry::Turn, ..Link::default() }
            }
            Some(Command::Edit | Command::Reset | Command::Recover) => {
                Link { command: from, from: here, sw: Carry::Turn, ..Link::default() }
            }
            other => Link { command: other, ..Link::default() },
        }
    }

    fn start_link(&mut self) {
        let start = target(self.sheet.path);
        self.fmt(format_args!("<p><a href=\"{start}\">JK Status Manager Start Page</a></p>"));
    }

    fn full(&mut self) {
        self.head();
        let edits = matches!(self.sheet.content, Content::Edit { .. });
        if !edits {
            self.server();
        }
        self.forms();
        self.links();
        match &self.sheet.content {
            Content::List => html_list::list(self),
            Content::Show { worker, member } => html_list::show(self, *worker, *member),
            Content::Edit { worker, .. } if !html_edit::has_form(*worker) => {
                return self.result("Error in generating this worker's configuration form.");
            }
            Content::Edit { worker, member } => html_edit::form(self, *worker, *member),
            Content::Dump => self.dump(),
            _ => {}
        }
        self.start_link();
    }

    fn shows_workers(&self) -> bool {
        matches!(self.sheet.content, Content::List | Content::Show { .. })
    }

    fn head(&mut self) {
        if self.shows_workers()
            && let Some(seconds) = self.sheet.query.refresh()
        {
            let address = self.own_address(self.sheet.query.raw());
            self.fmt(format_args!("\n<meta http-equiv=\"Refresh\" content=\"{seconds};url={address}\">"));
        }
        if let Some(css) = &self.sheet.style.css {
            self.fmt(format_args!(
                "\n<link rel=\"stylesheet\" type=\"text/css\" href=\"{}\" />\n",
                markup(css)
            ));
        }
        let server = &self.sheet.view.server;
        let read_only = if self.sheet.is_read_only() { " (read only)" } else { "" };
        self.fmt(format_args!(
            "</head>\n<body>\n<h1>JK Status Manager for {}:{}{read_only}</h1>\n\n",
            markup(&server.name),
            server.port
        ));
    }

    /// The page's address with a query string as it came: nothing in it can end an attribute.
    fn own_address(&self, query: &str) -> String {
        let mut address = target(self.sheet.path);
        if query.is_empty() {
            return address;
        }
        address.push('?');
        for c in query.chars() {
            match c {
                '<' | '>' | '"' | '\'' => {
                    let _ = write!(address, "%{:02X}", u32::from(c));
                }
                '!'..='~' => address.push(c),
                _ => address.push('?'),
            }
        }
        address
    }

    fn server(&mut self) {
        let server = &self.sheet.view.server;
        self.fmt(format_args!(
            "<table><tr><td>Server Version:</td><td>{}</td><td>&nbsp;&nbsp;&nbsp;</td><td>Server Time:</td><td>{}</td></tr>\n\
             <tr><td>JK Version:</td><td>{}</td><td></td><td>Unix Seconds:</td><td>{}</td></tr></table>\n<hr/>\n",
            markup(&server.software),
            server.now.long(),
            markup(&server.version),
            server.now.unix
        ));
    }

    /// The forms for loading the page again and again, and in other formats.
    fn forms(&mut self) {
        self.put("<table><tbody valign=\"baseline\"><tr>\n");
        if self.shows_workers() {
            self.refresh_form();
        }
        if !matches!(self.sheet.content, Content::Edit { .. }) {
            self.put("<td>\n");
            self.begin_form();
            self.hidden_parameters("mime");
            self.put(
                "<input type=\"submit\" value=\"Change format\"/>\n\
                 <select name=\"mime\" size=\"1\"><option value=\"xml\">XML</option>\
                 <option value=\"prop\">Properties</option><option value=\"txt\">Text</option></select></form>\n</td>\n",
            );
        }
        self.put("</tr></tbody></table>\n");
    }

    fn refresh_form(&mut self) {
        if self.sheet.query.refresh().is_some() {
            let address = self.own_address(&self.sheet.query.raw_without_refresh());
            self.fmt(format_args!("<td>[<a href=\"{address}\">Stop auto refresh</a>]"));
        } else {
            self.put("<td>");
            self.begin_form();
            self.hidden_parameters("re");
            self.put(
                "<input type=\"submit\" value=\"Start auto refresh\"/>\n\
                 (every <input name=\"re\" type=\"text\" size=\"3\" value=\"10\"/> seconds)</form>\n",
            );
        }
        self.put("</td><td>&nbsp;&nbsp;|&nbsp;&nbsp;</td>\n");
    }

    /// The links to other pages.
    fn links(&mut self) {
        self.put("<table><tbody valign=\"baseline\"><tr>\n");
        if !matches!(self.sheet.content, Content::List) {
            self.back_link();
        }
        if self.shows_workers() {
            self.mode_link();
        }
        if !matches!(self.sheet.content, Content::Edit { .. } | Content::Dump) {
            self.put("<td>\n[");
            self.anchor(Link { command: Some(Command::Dump), ..Link::default() }, "Dump");
            self.put("]&nbsp;&nbsp;\n</td>\n");
        }
        let show = match self.sheet.content {
            Content::List => Some("<b>S</b>=Show only this worker, "),
            Content::Show { .. } if !self.sheet.is_read_only() => Some(""),
            _ => None,
        };
        if let Some(show) = show {
            self.fmt(format_args!(
                "<td>\n[{show}<b>E</b>=Edit worker, <b>R</b>=Reset worker state, <b>T</b>=Try worker recovery]<br/>\n</td>\n"
            ));
        }
        self.put("</tr></tbody></table>\n");
    }

    fn back_link(&mut self) {
        let edits = matches!(self.sheet.content, Content::Edit { .. });
        let to_worker = edits && self.sheet.query.get("from") == Some("show");
        self.put("<td>\n[");
        if to_worker {
            let link =
                Link { command: Some(Command::Show), sw: Carry::Drop, psw: Carry::Turn, ..Link::default() };
            self.anchor(link, "Back to worker view");
        } else {
            let link =
                Link { command: Some(Command::List), drops_worker: true, sw: Carry::Drop, ..Link::default() };
            self.anchor(link, "Back to worker list");
        }
        self.put("]&nbsp;&nbsp;</td>\n");
    }

    fn mode_link(&mut self) {
        self.put("<td>\n");
        if !self.sheet.style.read_only {
            let (link, text) = match self.sheet.options.has(Options::READ_ONLY) {
                true => (self.with_options(0, Options::READ_ONLY), "Read/Write"),
                false => (self.with_options(Options::READ_ONLY, 0), "Read Only"),
            };
            self.put("[");
            self.anchor(link, text);
            self.put("]&nbsp;&nbsp;\n");
        }
        self.put("</td>\n");
    }

    fn dump(&mut self) {
        self.put(
            "<hr/><h2>Configuration Data</h2><hr/>\n\
             This dump does not include any changes applied by the status worker\n\
             to the configuration after the initial startup\n<PRE>\n",
        );
        for (name, value) in &self.sheet.view.properties {
            self.fmt(format_args!("{}={}\n", markup(name), markup(value)));
        }
        self.put("</PRE>\n");
    }

    fn end(&mut self) {
        match self.sheet.style.css {
            Some(_) => self.fmt(format_args!("<hr/><div class=\"footer\">{MAKER}</div>\n")),
            None => self.fmt(format_args!("<hr/><p align=\"center\"><small>{MAKER}</small></p>\n")),
        }
        self.put("</body>\n</html>\n");
    }
}
