// SPDX-License-Identifier: Apache-2.0
//! The agent's configuration file. Keys are named as in Tomcat's server.xml.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::base::text::nearest;
use crate::wire::cluster::encrypt::{Cipher, Form, Mode};

/// Everything `agent.toml` can say. Every key has a default, so an empty file is a good one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub membership: Membership,
    pub receiver: Receiver,
    pub channel: Channel,
    pub encryption: Option<Encryption>,
    pub vault: Vault,
    pub control: Control,
    pub log: Log,
}

/// `[membership]`: McastService, and members that are known beforehand.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Membership {
    /// False: nothing is sent to or heard from a group; only static members are known.
    pub multicast: bool,
    /// The group, IPv4 or IPv6. Java wants `%eth0` behind one of the link; here `bind` says which interface.
    #[serde(deserialize_with = "group")]
    pub address: IpAddr,
    pub port: u16,
    /// The address of the interface to use, or `auto`.
    pub bind: Bind,
    /// Hops; 0 stays on this machine.
    pub ttl: u32,
    /// Milliseconds between beacons.
    pub frequency: u64,
    /// Milliseconds of silence until a member is taken for dead.
    pub drop_time: u64,
    /// Only members of the same domain count, if it is not empty.
    pub domain: DomainName,
    /// How static members are known to each other.
    #[serde(rename = "class")]
    pub class: StaticClass,
    /// Name of the cluster's channel, for `class = "service"`.
    pub channel_name: String,
    #[serde(rename = "static")]
    pub members: Vec<StaticMember>,
    /// Our own id in the other members' configuration; needed for static members.
    pub unique_id: Option<UniqueId>,
}

fn group<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = text.split('%').next().unwrap_or_default();
    address.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no IP address of a group")))
}

/// How Tomcat knows static members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StaticClass {
    /// `StaticMembershipInterceptor`
    #[default]
    Interceptor,
    /// `StaticMembershipService`
    Service,
}

impl Default for Membership {
    fn default() -> Self {
        Self {
            multicast: true,
            address: IpAddr::V4(Ipv4Addr::new(228, 0, 0, 4)),
            port: 45564,
            bind: Bind::Auto,
            ttl: 1,
            frequency: 500,
            drop_time: 3000,
            domain: DomainName::default(),
            class: StaticClass::Interceptor,
            channel_name: "Catalina-Channel".to_owned(),
            members: Vec::new(),
            unique_id: None,
        }
    }
}

impl Membership {
    pub fn frequency(&self) -> Duration {
        Duration::from_millis(self.frequency.max(10))
    }

    pub fn drop_time(&self) -> Duration {
        Duration::from_millis(self.drop_time)
    }
}

/// `[[membership.static]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StaticMember {
    pub host: String,
    pub port: u16,
    pub unique_id: Option<UniqueId>,
    #[serde(default)]
    pub domain: DomainName,
}

/// A domain, in Tomcat's notation: text of ISO-8859-1, or bytes like `{1,2,-3}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DomainName {
    /// As it stands in the file.
    pub text: String,
    /// As members say it.
    pub bytes: Vec<u8>,
}

impl TryFrom<String> for DomainName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = match text.starts_with('{') {
            true => bytes_of(&text),
            false => text.chars().map(|char| u8::try_from(u32::from(char)).ok()).collect(),
        };
        let bytes = bytes.ok_or_else(|| {
            format!("{text:?} is no domain: write it as in server.xml, as text of ISO-8859-1 or as bytes like {{1,2,-3}}")
        })?;
        Ok(Self { text, bytes })
    }
}

/// Numbers in braces, as Tomcat writes bytes: `{0,1,-2}`.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let numbers = inner.split(',').map(|number| number.trim().parse::<i16>().ok());
    numbers
        .map(|number| number.filter(|number| (-128..256).contains(number)).map(|number| number as u8))
        .collect()
}

/// Sixteen bytes, written as Tomcat does: `{0,1,2,…,15}`, signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UniqueId(pub [u8; 16]);

impl TryFrom<String> for UniqueId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let id = bytes_of(&text).and_then(|bytes| bytes.try_into().ok());
        id.map(UniqueId).ok_or_else(|| {
            format!("{text:?} is no unique id: write sixteen numbers from -128 to 127 as in server.xml, like {{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}}")
        })
    }
}

/// An address, or the one that others can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Bind {
    #[default]
    Auto,
    Address(IpAddr),
}

impl TryFrom<String> for Bind {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let address = text.parse().map(Self::Address);
        address.map_err(|_| format!("{text:?} is neither an IP address nor \"auto\""))
    }
}

/// `[receiver]`: NioReceiver.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Receiver {
    /// Where to listen, and what is announced.
    pub address: Bind,
    pub port: u16,
    /// How many ports from `port` on are tried.
    pub auto_bind: u16,
    /// Bytes of the largest frame that is taken.
    pub max_frame: usize,
    /// Connections at once.
    pub max_connections: usize,
}

impl Default for Receiver {
    fn default() -> Self {
        Self { address: Bind::Auto, port: 4000, auto_bind: 100, max_frame: 64 << 20, max_connections: 1000 }
    }
}

/// `[channel]`: the interceptors that change messages, in the order of server.xml.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Channel {
    pub interceptors: Vec<Interceptor>,
    /// `maxSize` of FragmentationInterceptor.
    pub max_size: Option<usize>,
}

/// An interceptor that changes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Interceptor {
    #[serde(alias = "gzip")]
    GzipInterceptor,
    #[serde(alias = "encrypt")]
    EncryptInterceptor,
    #[serde(alias = "fragmentation")]
    FragmentationInterceptor,
    #[serde(alias = "order")]
    OrderInterceptor,
}

/// `[encryption]`: EncryptInterceptor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Encryption {
    #[serde(default = "default_algorithm")]
    pub encryption_algorithm: String,
    /// A file with the key in hexadecimal.
    pub encryption_key_file: PathBuf,
    /// The time stands in front of what is encrypted: Tomcat 9.0.119, 10.1.56, 11.0.23 and later.
    #[serde(default = "yes")]
    pub timestamp: bool,
}

fn default_algorithm() -> String {
    "AES/CBC/PKCS5Padding".to_owned()
}

fn yes() -> bool {
    true
}

/// `[vault]`: where sessions are kept.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Vault {
    pub path: PathBuf,
    /// Bytes of all sessions.
    pub max_size: u64,
    /// Bytes of one attribute.
    pub max_value: usize,
    /// Days that a session is kept without a sign of life, even one that never expires.
    pub max_age_days: u32,
}

impl Default for Vault {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/margay/vault"),
            max_size: 1 << 30,
            max_value: 16 << 20,
            max_age_days: 30,
        }
    }
}

/// `[control]`: the socket of `margay sessions` and `margay members`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Control {
    pub socket: PathBuf,
    /// The socket of the module in httpd, to tell it who lives.
    pub httpd: Option<PathBuf>,
}

impl Default for Control {
    fn default() -> Self {
        Self { socket: PathBuf::from("/run/margay/agent.sock"), httpd: None }
    }
}

/// `[log]`
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}

/// Why a configuration cannot be used: a text that says where and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(pub String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// What `[log] level` may say.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// All keys, to propose one.
const KEYS: [&str; 37] = [
    "membership",
    "receiver",
    "channel",
    "encryption",
    "vault",
    "control",
    "log",
    "multicast",
    "address",
    "port",
    "bind",
    "ttl",
    "frequency",
    "dropTime",
    "domain",
    "class",
    "channelName",
    "static",
    "uniqueId",
    "host",
    "autoBind",
    "maxFrame",
    "maxConnections",
    "interceptors",
    "maxSize",
    "encryptionAlgorithm",
    "encryptionKeyFile",
    "timestamp",
    "path",
    "maxValue",
    "maxAgeDays",
    "socket",
    "httpd",
    "level",
    "interceptor",
    "service",
    "auto",
];

impl Settings {
    /// Reads the text of a file named `name`.
    ///
    /// # Errors
    /// File, line and word, what is allowed there, and the nearest known name.
    pub fn read(text: &str, name: &str) -> Result<Settings, SettingsError> {
        let settings: Settings = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text[..at.min(text.len())].matches('\n').count() + 1;
            let message = error.message();
            let word = message.split('`').nth(1).filter(|_| message.starts_with("unknown"));
            let hint =
                word.and_then(|word| nearest(word, KEYS)).map(|known| format!("; did you mean {known}?"));
            SettingsError(format!("{name}:{line}: {message}{}", hint.unwrap_or_default()))
        })?;
        settings.check().map_err(|(section, key, why)| {
            let line = line_of(text, section, key).map_or_else(String::new, |line| format!(":{line}"));
            SettingsError(format!("{name}{line}: [{section}] {key} {why}"))
        })?;
        Ok(settings)
    }

    /// What cannot work: section, key and why.
    fn check(&self) -> Result<(), (&'static str, &'static str, String)> {
        let refuse = |section, key, why: &str| Err((section, key, why.to_owned()));
        let membership = &self.membership;
        if membership.multicast && !membership.address.is_multicast() {
            let why =
                "must be a multicast address, from 224.0.0.0 to 239.255.255.255, or one that begins with ff";
            return refuse("membership", "address", why);
        }
        if !membership.multicast && membership.members.is_empty() {
            let why = "= false needs at least one [[membership.static]] with host and port";
            return refuse("membership", "multicast", why);
        }
        if membership.ttl > 255 {
            return refuse("membership", "ttl", "must be from 0 to 255");
        }
        if membership.drop_time < membership.frequency {
            let why = "must be longer than frequency, or every member drops out between two beacons";
            return refuse("membership", "dropTime", why);
        }
        if membership.members.iter().any(|member| member.port == 0) {
            return refuse(
                "membership.static",
                "port",
                "must be that of the node's Receiver, 4000 by default",
            );
        }
        let is_interceptor = membership.class == StaticClass::Interceptor && !membership.members.is_empty();
        if is_interceptor && membership.unique_id.is_none() {
            let why =
                "is needed with static members: the one that server.xml of the Tomcats has for this agent";
            return refuse("membership", "uniqueId", why);
        }
        let encrypts = self.channel.interceptors.contains(&Interceptor::EncryptInterceptor);
        if encrypts && self.encryption.is_none() {
            let why = "with EncryptInterceptor need [encryption] with encryptionKeyFile";
            return refuse("channel", "interceptors", why);
        }
        if let Some(encryption) = &self.encryption
            && Mode::from_name(&encryption.encryption_algorithm).is_none()
        {
            let why = "must be AES/CBC/PKCS5Padding or AES/GCM/NoPadding";
            return refuse("encryption", "encryptionAlgorithm", why);
        }
        if !LEVELS.contains(&self.log.level.as_str()) {
            return refuse("log", "level", &format!("must be one of {}", LEVELS.join(", ")));
        }
        Ok(())
    }

    /// The interceptors that change messages, in their order. An `[encryption]` that no interceptor is named for stands alone.
    pub fn interceptors(&self) -> Vec<Interceptor> {
        let mut all = self.channel.interceptors.clone();
        if self.encryption.is_some() && !all.contains(&Interceptor::EncryptInterceptor) {
            all.push(Interceptor::EncryptInterceptor);
        }
        all
    }

    /// Reads the key of the cluster.
    ///
    /// # Errors
    /// The file cannot be read, or holds no key.
    pub fn cipher(&self) -> Result<Option<Cipher>, SettingsError> {
        let Some(encryption) = &self.encryption else { return Ok(None) };
        let path = encryption.encryption_key_file.display();
        let text = std::fs::read_to_string(&encryption.encryption_key_file)
            .map_err(|error| SettingsError(format!("[encryption] encryptionKeyFile {path}: {error}")))?;
        let mode = Mode::from_name(&encryption.encryption_algorithm);
        let form = if encryption.timestamp { Form::Timestamped } else { Form::Plain };
        let cipher =
            mode.zip(from_hexadecimal(text.trim())).and_then(|(mode, key)| Cipher::new(mode, form, key));
        cipher.map(Some).ok_or_else(|| {
            SettingsError(format!(
                "{path}: the key must be 32, 48 or 64 hexadecimal digits, the same as encryptionKey in server.xml"
            ))
        })
    }
}

/// The line of a key, or of its section if it is not there.
fn line_of(text: &str, section: &str, key: &str) -> Option<usize> {
    let mut in_section = false;
    let mut found = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            in_section = line.trim_matches(['[', ']']).trim() == section;
            if in_section && found.is_none() {
                found = Some(number + 1);
            }
        } else if in_section && line.split('=').next().is_some_and(|word| word.trim() == key) {
            return Some(number + 1);
        }
    }
    found
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_is_tomcats_own_default() {
        let settings = Settings::read("", "agent.toml").unwrap();
        assert_eq!(settings.membership.address, Ipv4Addr::new(228, 0, 0, 4));
        assert_eq!((settings.membership.port, settings.membership.drop_time), (45564, 3000));
        assert_eq!((settings.receiver.port, settings.receiver.auto_bind), (4000, 100));
    }

    #[test]
    fn the_names_are_those_of_server_xml() {
        let text = "[membership]\naddress = \"228.0.0.5\"\nport = 45565\nbind = \"127.0.0.1\"\nfrequency = 100\ndropTime = 600\n\
                    domain = \"shop\"\nuniqueId = \"{0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,-1}\"\n\
                    [[membership.static]]\nhost = \"10.0.0.1\"\nport = 4000\n[receiver]\naddress = \"127.0.0.1\"\nport = 4010\n\
                    autoBind = 1\n[channel]\ninterceptors = [\"GzipInterceptor\", \"order\"]\n";
        let settings = Settings::read(text, "agent.toml").unwrap();
        assert_eq!(settings.membership.unique_id.unwrap().0[15], 255);
        let of_link = Settings::read("[membership]\naddress = \"ff02::e4%eth0\"", "agent.toml").unwrap();
        assert_eq!(of_link.membership.address.to_string(), "ff02::e4");
        assert_eq!(settings.interceptors(), [Interceptor::GzipInterceptor, Interceptor::OrderInterceptor]);
    }

    #[test]
    fn a_wrong_word_is_named_with_its_line_and_the_nearest_known() {
        let error = Settings::read("\n[membership]\ndroptime = 5\n", "agent.toml").unwrap_err();
        assert!(error.0.starts_with("agent.toml:3: unknown field `droptime`"), "{error}");
        assert!(error.0.ends_with("did you mean dropTime?"), "{error}");
        let error = Settings::read("[receiver]\nport = \"x\"\n", "agent.toml").unwrap_err();
        assert!(error.0.starts_with("agent.toml:2: "), "{error}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_cure() {
        for (text, word) in [
            ("[membership]\naddress = \"10.0.0.1\"", "multicast address"),
            ("[membership]\naddress = \"fd00::1\"", "multicast address"),
            ("\n[membership]\naddress = \"group\"", "agent.toml:3: \"group\" is no IP address"),
            ("[membership]\nttl = 256", "agent.toml:2: [membership] ttl"),
            ("[membership]\nmulticast = false", "[[membership.static]]"),
            ("[membership]\nfrequency = 5000", "dropTime"),
            ("[[membership.static]]\nhost = \"a\"\nport = 4000", "uniqueId"),
            ("[channel]\ninterceptors = [\"EncryptInterceptor\"]", "[encryption]"),
            ("[membership]\nuniqueId = \"{1,2}\"", "sixteen numbers"),
            ("[membership]\nbind = \"eth0\"", "\"auto\""),
            ("[log]\nlevel = \"loud\"", "agent.toml:2: [log] level"),
            ("\n[membership]\n# short\ndropTime = 100", "agent.toml:4: [membership] dropTime"),
        ] {
            let error = Settings::read(text, "agent.toml").unwrap_err();
            assert!(error.0.contains(word), "{error}");
        }
    }

    #[test]
    fn a_domain_is_text_or_bytes_as_in_tomcat() {
        for (text, bytes) in
            [("shop", b"shop".as_slice()), ("caf\u{e9}", b"caf\xe9"), ("{1,2,-3}", &[1, 2, 253]), ("", b"")]
        {
            assert_eq!(DomainName::try_from(text.to_owned()).unwrap().bytes, bytes, "{text}");
        }
        for text in ["\u{20ac}", "{1,300}", "{a"] {
            assert!(DomainName::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn keys_are_hexadecimal() {
        assert_eq!(from_hexadecimal("00ff10"), Some(vec![0, 255, 16]));
        assert_eq!(from_hexadecimal("0"), None);
        assert_eq!(from_hexadecimal("zz"), None);
    }
}
