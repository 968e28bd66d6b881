// SPDX-License-Identifier: Apache-2.0
//! Forwarding in mod_jk's way without httpd: scripted containers over loopback, a web server in memory.

#[path = "../support/ajp_peer.rs"]
#[allow(dead_code)]
mod ajp_peer;
#[path = "../support/ajp_request.rs"]
#[allow(dead_code)]
mod ajp_request;
#[path = "../support/ajp_text.rs"]
#[allow(dead_code)]
mod ajp_text;
#[path = "../support/conf.rs"]
#[allow(dead_code)]
mod conf;
#[path = "../support/exchange.rs"]
#[allow(dead_code)]
mod exchange;
#[path = "../support/fault.rs"]
#[allow(dead_code)]
mod fault;

mod agent;
mod faults;
mod frames;
mod promises;
mod rounds;
mod sequences;
mod stage;
mod upkeep;

/// The root of the source tree.
fn source_dir() -> &'static std::path::Path {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
}
