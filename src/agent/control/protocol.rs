// SPDX-License-Identifier: Apache-2.0
//! What goes over the control socket: one question in one line of JSON, answers in lines of JSON, the last of them
//! [`Answer::End`] or [`Answer::Refused`].

use serde::{Deserialize, Serialize};

/// What may be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "lowercase", deny_unknown_fields)]
pub enum Question {
    Status {},
    Members {},
    Sessions {
        /// Only of this session manager.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
        /// Only those whose id begins so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// With the values of attributes: users' data.
        #[serde(default)]
        values: bool,
    },
    Export {
        context: String,
    },
    /// So many lines of [`Stored`] follow.
    Import {
        context: String,
        sessions: usize,
    },
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum Answer {
    Status(Status),
    Member(MemberLine),
    Session(SessionLine),
    Stored(Stored),
    /// Of so many sessions so many were known already, and stay as they are.
    Imported {
        sessions: usize,
        known: usize,
    },
    End {},
    Refused {
        why: String,
    },
}

/// How the agent is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub version: String,
    pub pid: u32,
    /// Where members reach it.
    pub address: String,
    /// It knows all that can be known.
    pub ready: bool,
    /// Milliseconds since it began.
    pub uptime: i64,
    /// Members that count now.
    pub members: usize,
    pub sessions: usize,
    /// What applications stored.
    pub bytes: usize,
    /// By name of the session manager.
    pub contexts: Vec<ContextLine>,
    pub vault: String,
    /// Sessions whose changes are not on disk yet.
    pub unwritten: usize,
    /// Why sessions are in memory only, if they are.
    pub vault_trouble: Option<String>,
}

/// One web application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextLine {
    pub context: String,
    pub sessions: usize,
}

/// One member of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberLine {
    pub address: String,
    /// In hexadecimal, as in the logs of Tomcat.
    pub id: String,
    pub domain: String,
    pub alive: bool,
    pub state: String,
    /// Milliseconds that it has been so.
    pub since: i64,
    /// `jvmRoute`s of the sessions that it created.
    pub routes: Vec<String>,
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionLine {
    pub context: String,
    pub id: String,
    pub route: Option<String>,
    /// Milliseconds since it was created.
    pub age: i64,
    /// Milliseconds since a message about it came.
    pub idle: i64,
    /// Seconds that it may be idle; zero and less: for ever.
    pub max_inactive: i32,
    /// What the application stored.
    pub bytes: usize,
    pub attributes: Vec<Attribute>,
    /// Changes that nobody can read without the application's classes, kept as they came.
    pub unreadable_changes: usize,
    /// Somebody is logged in.
    pub has_principal: bool,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    pub name: String,
    pub class: String,
    pub bytes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// One session as a Tomcat without cluster stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    pub id: String,
    /// A file of FileStore, in hexadecimal.
    pub stored: String,
    /// Changes that are not in it: only the application can read them.
    pub unreadable_changes: usize,
}
