// SPDX-License-Identifier: Apache-2.0
//! Forwarding over HTTP without httpd: scripted back ends over loopback, a web server in memory, plans from
//! configuration text.

#[path = "../support/conf.rs"]
mod conf;
#[path = "../support/exchange.rs"]
#[allow(dead_code)]
mod exchange;
#[path = "../support/http_peer.rs"]
#[allow(dead_code)]
mod http_peer;
#[path = "../support/stage.rs"]
#[allow(dead_code)]
mod stage;

mod bodies;
mod failures;
mod play;
mod requests;
mod responses;
mod smuggling;
mod tunnels;
