// SPDX-License-Identifier: Apache-2.0
//! The kinds of sections httpd has, as far as our directives care, and which requests a `<Proxy>` section is for.

/// What kind of section surrounds a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SectionKind {
    Location,
    /// Also `<Location ~ …>`.
    LocationMatch,
    Proxy,
    ProxyMatch,
    Directory,
    DirectoryMatch,
    Files,
    FilesMatch,
    If,
}

impl SectionKind {
    /// The keyword as messages show it.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Location => "<Location>",
            Self::LocationMatch => "<LocationMatch>",
            Self::Proxy => "<Proxy>",
            Self::ProxyMatch => "<ProxyMatch>",
            Self::Directory => "<Directory>",
            Self::DirectoryMatch => "<DirectoryMatch>",
            Self::Files => "<Files>",
            Self::FilesMatch => "<FilesMatch>",
            Self::If => "<If>",
        }
    }

    pub fn is_proxy(self) -> bool {
        matches!(self, Self::Proxy | Self::ProxyMatch)
    }

    pub fn is_location(self) -> bool {
        matches!(self, Self::Location | Self::LocationMatch)
    }

    /// Sections about URLs, where rules may stand.
    pub fn is_url_space(self) -> bool {
        self.is_proxy() || self.is_location()
    }
}
