// SPDX-License-Identifier: Apache-2.0
//! Forwarding without httpd: scripted back ends over loopback, a web server in memory, plans from configuration text.

#[path = "../support/ajp_peer.rs"]
#[allow(dead_code)]
mod ajp_peer;
#[path = "../support/ajp_text.rs"]
#[allow(dead_code)]
mod ajp_text;
#[path = "../support/conf.rs"]
mod conf;
#[path = "../support/exchange.rs"]
#[allow(dead_code)]
mod exchange;
#[path = "../support/stage.rs"]
#[allow(dead_code)]
mod stage;

mod bodies;
mod client;
mod connections;
mod failover;
mod flushing;
mod pings;
mod play;
mod pools;
mod responses;
mod sessions;
mod stale;
mod timeouts;
