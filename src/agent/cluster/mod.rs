// SPDX-License-Identifier: Apache-2.0
//! A member of Tomcat's cluster: who is there, what they say, what they are told.

mod age;
mod hub;
mod interfaces;
mod multicast;
mod names;
mod pull;
mod receiver;
mod report;
mod routes;
mod sender;
mod stack;
mod table;

pub use hub::{Health, Look, Request, Start, run};
pub use interfaces::{Interface, for_others, own_address};
pub use multicast::{Group, open};
pub use receiver::bind;
pub use report::{Life, MemberReport, Report};
pub use stack::Stack;
pub use table::Departure;
