// SPDX-License-Identifier: Apache-2.0
//! A member of Tomcat's cluster: who is there, what they say, what they are told.

mod multicast;
mod receiver;
mod sender;
mod stack;
mod table;
