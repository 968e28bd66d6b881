// SPDX-License-Identifier: Apache-2.0
//! The front ends and their configuration files. A new row is a constant here and its mention in a case.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::parts::Parts;

/// How httpd serves its connections.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mpm {
    Event,
    Prefork,
}

impl Mpm {
    /// The word of the command line and of the module's file name.
    pub fn name(self) -> &'static str {
        match self {
            Mpm::Event => "event",
            Mpm::Prefork => "prefork",
        }
    }

    /// Clients of the load; prefork needs a process for each.
    pub fn connections(self) -> usize {
        match self {
            Mpm::Event => 16,
            Mpm::Prefork => 8,
        }
    }

    /// Numbers that keep all children alive from start to end: CPU time is summed over living processes.
    fn directives(self, size: Size) -> &'static str {
        match (self, size) {
            (Mpm::Event, _) => {
                "StartServers 2\nServerLimit 2\nThreadsPerChild 25\nMaxRequestWorkers 50\n\
                 MinSpareThreads 1\nMaxSpareThreads 50\n"
            }
            (Mpm::Prefork, Size::Farm) => {
                "StartServers 10\nServerLimit 10\nMaxRequestWorkers 10\nMinSpareServers 1\nMaxSpareServers 10\n"
            }
            (Mpm::Prefork, Size::OneChild) => {
                "StartServers 1\nServerLimit 1\nMaxRequestWorkers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
            }
        }
    }
}

/// How many processes a front end starts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Enough for every connection of the load.
    Farm,
    /// One child, so that a trace reads like one story.
    OneChild,
}

/// The program a front end runs in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Httpd,
    Nginx,
    Haproxy,
}

/// One row of the tables.
pub struct FrontEnd {
    pub name: &'static str,
    pub program: Program,
    pub talks_to: BackEnd,
    /// The lines that make it this front end, or why it cannot be measured here.
    lines: fn(&Site) -> Result<String, String>,
}

/// The back end behind a front end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    Ajp,
    Http,
    None,
}

/// Where a front end is set up.
pub struct Site<'a> {
    pub parts: &'a Parts,
    pub ajp_port: u16,
    pub http_port: u16,
    /// The port to listen on.
    pub port: u16,
    /// The directory of this one server.
    pub prefix: &'a Path,
    pub mpm: Mpm,
    pub size: Size,
    pub is_root: bool,
}

pub static EMPTY: FrontEnd = httpd("empty handler", BackEnd::None, |site| {
    load_module("bench_empty_module", site.parts.empty_handler.as_deref())
});

pub static MOD_PROXY_AJP: FrontEnd =
    httpd("mod_proxy_ajp", BackEnd::Ajp, |site| Ok(mod_proxy_ajp(site)? + &proxy_pass(site)));

pub static MOD_PROXY_AJP_RULES: FrontEnd = httpd("mod_proxy_ajp, 5 000 rules", BackEnd::Ajp, |site| {
    Ok(mod_proxy_ajp(site)? + &other_rules(site) + &proxy_pass(site))
});

pub static MARGAY: FrontEnd = httpd("Margay", BackEnd::Ajp, |site| Ok(margay(site)? + &proxy_pass(site)));

pub static MARGAY_RULES: FrontEnd = httpd("Margay, 5 000 rules", BackEnd::Ajp, |site| {
    Ok(margay(site)? + &other_rules(site) + &proxy_pass(site))
});

pub static MOD_PROXY_HTTP: FrontEnd = httpd("mod_proxy_http", BackEnd::Http, |site| {
    Ok(stock(site, &["proxy", "proxy_http"])? + &http_proxy_pass(site))
});

pub static MARGAY_HTTP: FrontEnd =
    httpd("Margay (HTTP)", BackEnd::Http, |site| Ok(margay(site)? + &http_proxy_pass(site)));

pub static MOD_JK: FrontEnd = httpd("mod_jk", BackEnd::Ajp, |site| Ok(mod_jk(site)? + &jk_mount(site)));

pub static MOD_JK_MOUNTS: FrontEnd =
    httpd("mod_jk, 5 000 mounts", BackEnd::Ajp, |site| Ok(mod_jk(site)? + &other_mounts() + &jk_mount(site)));

pub static MARGAY_JK: FrontEnd =
    httpd("Margay (JkMount)", BackEnd::Ajp, |site| Ok(margay(site)? + &jk_mount(site)));

pub static MARGAY_JK_MOUNTS: FrontEnd =
    httpd("Margay, 5 000 mounts", BackEnd::Ajp, |site| Ok(margay(site)? + &other_mounts() + &jk_mount(site)));

pub static NGINX: FrontEnd = FrontEnd {
    name: "nginx (HTTP)",
    program: Program::Nginx,
    talks_to: BackEnd::Http,
    lines: |site| {
        site.parts.nginx.as_ref().map_err(String::clone)?;
        Ok("proxy_pass http://backend;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n"
            .to_owned())
    },
};

pub static HAPROXY: FrontEnd = FrontEnd {
    name: "HAProxy (HTTP)",
    program: Program::Haproxy,
    talks_to: BackEnd::Http,
    lines: |site| {
        site.parts.haproxy.as_ref().map_err(String::clone)?;
        Ok(format!("server member 127.0.0.1:{}\n", site.http_port))
    },
};

const fn httpd(
    name: &'static str,
    talks_to: BackEnd,
    lines: fn(&Site) -> Result<String, String>,
) -> FrontEnd {
    FrontEnd { name, program: Program::Httpd, talks_to, lines }
}

impl FrontEnd {
    /// Writes the configuration file into the prefix, or says why this front end cannot be measured.
    pub fn write_config(&self, site: &Site) -> Result<(), String> {
        let lines = (self.lines)(site)?;
        let text = match self.program {
            Program::Httpd => httpd_conf(site, &lines),
            Program::Nginx => nginx_conf(site, &lines),
            Program::Haproxy => haproxy_conf(site, &lines),
        };
        let file = site.prefix.join("server.conf");
        fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))
    }
}

fn httpd_conf(site: &Site, lines: &str) -> String {
    let (prefix, port, mpm) = (site.prefix.display(), site.port, site.mpm.name());
    // httpd refuses to serve as root; 65534 is nobody on every Linux.
    let user = if site.is_root { "User #65534\nGroup #65534\n" } else { "" };
    // Without mod_authz_core the core module refuses every request.
    let modules = [format!("mpm_{mpm}"), "authz_core".to_owned()].map(|name| {
        let file = site.parts.httpd_modules.join(format!("mod_{name}.so"));
        format!("LoadModule {name}_module \"{}\"\n", file.display())
    });
    format!(
        "ServerRoot \"{prefix}\"\nServerName localhost\nListen 127.0.0.1:{port}\nDefaultRuntimeDir \"{prefix}\"\n\
         PidFile \"{prefix}/server.pid\"\nErrorLog \"{prefix}/error.log\"\nLogLevel warn\n{user}\
         KeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 600\n\
         {}{}{lines}",
        modules.concat(),
        site.mpm.directives(site.size),
    )
}

fn nginx_conf(site: &Site, lines: &str) -> String {
    let (prefix, port, http_port) = (site.prefix.display(), site.port, site.http_port);
    let user = if site.is_root { "user root root;\n" } else { "" };
    let workers = if site.size == Size::OneChild { 1 } else { 2 };
    let temp_paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path \"{prefix}/{kind}\";\n"))
        .concat();
    format!(
        "daemon off;\n{user}worker_processes {workers};\npid \"{prefix}/server.pid\";\n\
         error_log \"{prefix}/error.log\" warn;\nevents {{ worker_connections 256; }}\n\
         http {{\naccess_log off;\n{temp_paths}\
         keepalive_timeout 600s;\nkeepalive_requests 1000000000;\nproxy_max_temp_file_size 0;\n\
         upstream backend {{ server 127.0.0.1:{http_port}; keepalive 32; keepalive_requests 1000000000; }}\n\
         server {{\nlisten 127.0.0.1:{port};\nlocation / {{\n{lines}}}\n}}\n}}\n"
    )
}

fn haproxy_conf(site: &Site, lines: &str) -> String {
    let threads = if site.size == Size::OneChild { 1 } else { 2 };
    let timeouts = ["client", "server", "connect", "http-keep-alive"]
        .map(|kind| format!("timeout {kind} 600s\n"))
        .concat();
    format!(
        "global\nnbthread {threads}\nmaxconn 256\n\
         defaults\nmode http\nhttp-reuse always\n{timeouts}\
         frontend clients\nbind 127.0.0.1:{}\ndefault_backend members\n\
         backend members\n{lines}",
        site.port,
    )
}

fn load_module(name: &str, file: Result<&Path, &String>) -> Result<String, String> {
    Ok(format!("LoadModule {name} \"{}\"\n", file.map_err(String::clone)?.display()))
}

fn mod_proxy_ajp(site: &Site) -> Result<String, String> {
    stock(site, &["proxy", "proxy_ajp"])
}

fn stock(site: &Site, modules: &[&str]) -> Result<String, String> {
    let mut lines = String::new();
    for name in modules {
        let file = site.parts.httpd_module(&format!("mod_{name}.so"));
        lines += &load_module(&format!("{name}_module"), file.as_deref())?;
    }
    Ok(lines)
}

fn margay(site: &Site) -> Result<String, String> {
    load_module("margay_module", site.parts.margay.as_deref())
}

fn mod_jk(site: &Site) -> Result<String, String> {
    load_module("jk_module", site.parts.mod_jk.as_deref())
}

/// The one worker and its rule, in words that both modules understand.
fn jk_mount(site: &Site) -> String {
    let prefix = site.prefix.display();
    format!(
        "JkLogFile \"{prefix}/jk.log\"\n\
         JkLogLevel error\n\
         JkShmFile \"{prefix}/jk.shm\"\n\
         JkWorkerProperty worker.list=tomcat\n\
         JkWorkerProperty worker.tomcat.type=ajp13\n\
         JkWorkerProperty worker.tomcat.host=127.0.0.1\n\
         JkWorkerProperty worker.tomcat.port={}\n\
         JkMount /* tomcat\n",
        site.ajp_port
    )
}

/// 4 999 mounts that never match.
fn other_mounts() -> String {
    (1..5000).fold(String::new(), |mut lines, i| {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "JkMount /application-{i}/* tomcat");
        lines
    })
}

fn proxy_pass(site: &Site) -> String {
    format!("ProxyPass / ajp://127.0.0.1:{}/\n", site.ajp_port)
}

fn http_proxy_pass(site: &Site) -> String {
    format!("ProxyPass / http://127.0.0.1:{}/\n", site.http_port)
}

/// 4 999 rules that never match, all to the one member, so that only the look-up grows.
fn other_rules(site: &Site) -> String {
    (1..5000).fold(String::new(), |mut lines, i| {
        // Writing to a String cannot fail.
        let _ = writeln!(lines, "ProxyPass /application-{i}/ ajp://127.0.0.1:{}/", site.ajp_port);
        lines
    })
}
