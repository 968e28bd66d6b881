// SPDX-License-Identifier: Apache-2.0
//! Where the programs and modules under test come from. What cannot be had is a sentence, not an error: its rows are
//! skipped.
//!
//! nginx and HAProxy are only unpacked from their Debian packages: installing them would start services.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file, or why there is none.
pub type Part = Result<PathBuf, String>;

/// Everything the front ends are made of.
pub struct Parts {
    pub httpd: PathBuf,
    pub httpd_modules: PathBuf,
    pub empty_handler: Part,
    pub mod_jk: Part,
    pub nginx: Part,
    pub haproxy: Result<Haproxy, String>,
    pub margay: Part,
}

/// HAProxy and where its libraries are, if the system has not all of them.
pub struct Haproxy {
    pub file: PathBuf,
    pub libraries: Option<PathBuf>,
}

impl Parts {
    /// Finds, compiles and unpacks. `target` is cargo's target directory. Without httpd there is nothing to measure.
    pub fn gather(target: &Path) -> Result<Parts, String> {
        let apxs = std::env::var("APXS").unwrap_or_else(|_| "apxs".to_owned());
        // Without apxs: where Debian has them. Only the empty handler cannot be built then.
        let query = |name, debian: &str| {
            output(Command::new(&apxs).args(["-q", name])).unwrap_or_else(|_| debian.to_owned())
        };
        let httpd = Path::new(&query("SBINDIR", "/usr/sbin")).join(query("PROGNAME", "apache2"));
        let work = target.join("bench");
        Ok(Parts {
            httpd: existing(httpd)?,
            httpd_modules: query("LIBEXECDIR", "/usr/lib/apache2/modules").into(),
            empty_handler: compile_empty_handler(&apxs, &work.join("empty_handler")),
            mod_jk: mod_jk(&work.join("packages")),
            nginx: nginx(&work.join("packages")),
            haproxy: haproxy(&work.join("packages")),
            margay: existing(target.join("release/libmargay.so")),
        })
    }

    /// A module that comes with httpd.
    pub fn httpd_module(&self, file: &str) -> Part {
        existing(self.httpd_modules.join(file))
    }
}

fn compile_empty_handler(apxs: &str, dir: &Path) -> Part {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/empty_handler/mod_bench_empty.c");
    fs::create_dir_all(dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    // apxs leaves its objects beside the source.
    let copy = dir.join("mod_bench_empty.c");
    let text = fs::read(&source).map_err(|e| format!("cannot read {}: {e}", source.display()))?;
    fs::write(&copy, text).map_err(|e| format!("cannot write {}: {e}", copy.display()))?;
    output(Command::new(apxs).args(["-c", "-Wc,-O2", "mod_bench_empty.c"]).current_dir(dir))?;
    existing(dir.join(".libs/mod_bench_empty.so"))
}

fn mod_jk(packages: &Path) -> Part {
    // Where Debian installs it.
    existing("/usr/lib/apache2/modules/mod_jk.so".into())
        .or_else(|_| unpacked(packages, "libapache2-mod-jk", "usr/lib/apache2/modules/mod_jk.so"))
}

/// The binary is in `nginx` since Debian 12, before that in `nginx-light`.
fn nginx(packages: &Path) -> Part {
    let file = existing("/usr/sbin/nginx".into())
        .or_else(|_| unpacked(packages, "nginx", "usr/sbin/nginx"))
        .or_else(|_| unpacked(packages, "nginx-light", "usr/sbin/nginx"))?;
    output(Command::new(&file).arg("-v"))?;
    Ok(file)
}

fn haproxy(packages: &Path) -> Result<Haproxy, String> {
    if let Ok(file) = existing("/usr/sbin/haproxy".into()) {
        return Ok(Haproxy { file, libraries: None });
    }
    let file = unpacked(packages, "haproxy", "usr/sbin/haproxy")?;
    let libraries = packages.join("haproxy/usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    let starts = || output(Command::new(&file).arg("-v").env("LD_LIBRARY_PATH", &libraries));
    if starts().is_err() {
        for package in HAPROXY_LIBRARIES {
            // What is missing is said by the last attempt.
            let _ = unpack(package, &packages.join("haproxy"));
        }
        starts()?;
    }
    Ok(Haproxy { file, libraries: Some(libraries) })
}

/// What HAProxy is linked with and a small system may not have.
const HAPROXY_LIBRARIES: [&str; 3] = ["liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"];

/// `file` out of a Debian package, fetched and unpacked on first use, never installed.
fn unpacked(packages: &Path, package: &str, file: &str) -> Part {
    let dir = packages.join(package);
    if let Ok(found) = existing(dir.join(file)) {
        return Ok(found);
    }
    unpack(package, &dir)?;
    existing(dir.join(file))
}

fn unpack(package: &str, dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))?;
    output(Command::new("apt-get").args(["download", package]).current_dir(dir))
        .map_err(|e| format!("{e} (would \"apt-get update\" help?)"))?;
    let entries = fs::read_dir(dir).map_err(|e| format!("cannot read {}: {e}", dir.display()))?;
    for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "deb")) {
        output(Command::new("dpkg").arg("-x").arg(entry.path()).arg(dir))?;
    }
    Ok(())
}

fn existing(file: PathBuf) -> Part {
    if file.is_file() { Ok(file) } else { Err(format!("there is no {}", file.display())) }
}

/// Runs to the end and returns the trimmed standard output, or a sentence with the last line of standard error.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().map_err(|e| format!("cannot run {name}: {e}"))?;
    if !done.status.success() {
        let text = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{name} failed: {}", text.trim().lines().last().unwrap_or("no message")));
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
