// SPDX-License-Identifier: Apache-2.0
//! Certificates made on the spot, and a TLS client: both by the `openssl` program.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{process, scratch_dir};

/// A certificate authority, a server with an RSA key, and a client with an EC key.
pub struct Certificates {
    dir: PathBuf,
}

impl Certificates {
    /// # Panics
    /// With what `openssl` said, if it fails.
    pub fn make() -> Certificates {
        let dir = scratch_dir("certificates");
        let own = "req -x509 -newkey rsa:2048 -nodes -days 30";
        openssl(&dir, &format!("{own} -subj /CN=ca.example.test -keyout ca.key -out ca.pem"));
        openssl(&dir, &format!("{own} -subj /CN=www.example.test -keyout server.key -out server.pem"));
        let wish =
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=client.example.test";
        openssl(&dir, &format!("{wish} -keyout client.key -out client.csr"));
        let sign =
            "x509 -req -in client.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out client.pem";
        openssl(&dir, sign);
        Certificates { dir }
    }

    /// The same, and `member.pem`: a server named localhost and www.example.test, signed by the authority;
    /// `machine.pem`: the client's certificate with its key.
    ///
    /// # Panics
    /// As [`Certificates::make`].
    pub fn for_members() -> Certificates {
        let made = Self::make();
        let wish = "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout member.key -out member.csr";
        openssl(&made.dir, wish);
        fs::write(made.file("names.cnf"), "subjectAltName=DNS:localhost,DNS:www.example.test\n")
            .expect("a file");
        let sign = "x509 -req -in member.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile names.cnf -out member.pem";
        openssl(&made.dir, sign);
        let machine = [made.file("client.pem"), made.file("client.key")]
            .map(|file| fs::read_to_string(file).expect("a file that openssl wrote"));
        fs::write(made.file("machine.pem"), machine.concat()).expect("a file");
        made
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The client's certificate as text.
    pub fn client_pem(&self) -> String {
        fs::read_to_string(self.file("client.pem")).expect("the client's certificate")
    }

    /// Sends `request` in this version of TLS (`1.2`, `1.3`), with the client's certificate if asked to, and reads until
    /// the response ends with `end`.
    ///
    /// # Panics
    /// With what came instead.
    pub fn ask(
        &self,
        port: u16,
        version: &str,
        with_certificate: bool,
        request: &[u8],
        end: &[u8],
    ) -> Vec<u8> {
        self.ask_with_chain(port, version, with_certificate, None, request, end)
    }

    /// The same; the client shows the certificates of the file `chain`, too.
    ///
    /// # Panics
    /// As [`Certificates::ask`].
    pub fn ask_with_chain(
        &self,
        port: u16,
        version: &str,
        with_certificate: bool,
        chain: Option<&Path>,
        request: &[u8],
        end: &[u8],
    ) -> Vec<u8> {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-quiet", "-servername", "www.example.test"]);
        command.args([
            "-connect",
            &format!("127.0.0.1:{port}"),
            &format!("-tls{}", version.replace('.', "_")),
        ]);
        if with_certificate {
            command.arg("-cert").arg(self.file("client.pem")).arg("-key").arg(self.file("client.key"));
        }
        if let Some(chain) = chain {
            command.arg("-cert_chain").arg(chain);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut client = process::spawn(&mut command, "openssl s_client");
        client.stdin.as_mut().expect("a pipe").write_all(request).expect("the client takes the request");
        let mut output = client.stdout.take().expect("a pipe");
        let mut response = Vec::new();
        let mut byte = [0];
        while !response.ends_with(end) && output.read(&mut byte).expect("the client's output") == 1 {
            response.push(byte[0]);
        }
        process::kill(&mut client);
        assert!(response.ends_with(end), "{}", String::from_utf8_lossy(&response));
        response
    }
}

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(dir)
        .output()
        .expect("the openssl program (Debian: openssl)");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
