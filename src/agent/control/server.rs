// SPDX-License-Identifier: Apache-2.0
//! Answers questions. The hub is asked in small steps: while it looks, no message of the cluster is taken.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::protocol::{Answer, ContextLine, MemberLine, Question, Status, Stored};
use super::sessions::{line, read_stored_bytes, stored};
use super::socket::Listener;
use super::{LONGEST_QUESTION, from_hexadecimal, to_hexadecimal};
use crate::agent::cluster::{Health, Life, Look, Report, Request};
use crate::agent::now;
use crate::agent::replica::{Kept, Key, Replica};
use crate::wire::stream::{decode_utf8, encode_utf8};

/// Connections at once; more wait.
const PEERS: usize = 16;
/// How long a client may take for its next line, or to read ours.
const PATIENCE: Duration = Duration::from_secs(10);
/// Sessions that are looked at in one step.
const STEP: usize = 100;

/// What stays the same while the agent runs.
#[derive(Debug, Clone)]
pub struct Facts {
    pub vault: String,
    /// When it began; milliseconds since 1970.
    pub started: i64,
    /// Bytes that one value may have.
    pub value_limit: usize,
}

/// Answers until the agent ends.
pub async fn serve(
    listener: Listener,
    facts: Facts,
    hub: mpsc::Sender<Request>,
    reports: watch::Receiver<Report>,
) {
    let room = Arc::new(Semaphore::new(PEERS));
    let desk = Arc::new(Desk { facts, hub, reports });
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "the control socket takes no connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // The file's rights say the same; a socket that somebody opened up still answers nobody else.
        let peer = stream.peer_cred().map_or(u32::MAX, |peer| peer.uid());
        if peer != 0 && peer != listener.owner {
            warn!(user = peer, "a user who may not ask was turned away from the control socket");
            continue;
        }
        let desk = Arc::clone(&desk);
        tokio::spawn(async move {
            if let Err(error) = desk.answer(stream).await {
                debug!(%error, "a control connection broke");
            }
            drop(permit);
        });
    }
}

/// A question for the hub.
struct Asking<T, F> {
    question: F,
    answer: Option<oneshot::Sender<T>>,
}

impl<T, F> fmt::Debug for Asking<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl<T: Send, F: FnMut(&Replica, &Health) -> T + Send> Look for Asking<T, F> {
    fn look(&mut self, replica: &Replica, health: &Health) {
        if let Some(answer) = self.answer.take() {
            let _ = answer.send((self.question)(replica, health));
        }
    }
}

#[derive(Debug)]
struct Desk {
    facts: Facts,
    hub: mpsc::Sender<Request>,
    reports: watch::Receiver<Report>,
}

impl Desk {
    async fn look<T, F>(&self, question: F) -> io::Result<T>
    where
        T: Send + 'static,
        F: FnMut(&Replica, &Health) -> T + Send + 'static,
    {
        let ends = |_| io::Error::other("the agent ends");
        let (answer, answered) = oneshot::channel();
        let (done, _) = oneshot::channel();
        let look = Box::new(Asking { question, answer: Some(answer) });
        self.hub.send(Request::Look(done, look)).await.map_err(|_| io::Error::other("the agent ends"))?;
        answered.await.map_err(ends)
    }

    async fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let (from, to) = stream.into_split();
        let mut from = BufReader::new(from);
        let mut to = Out { to };
        let Some(text) = next_line(&mut from, LONGEST_QUESTION).await? else { return Ok(()) };
        let question = match serde_json::from_str(&text) {
            Ok(question) => question,
            Err(error) => return to.refuse(format!("this is no question: {error}")).await,
        };
        debug!(?question, "the administrator asks");
        match question {
            Question::Status {} => to.send(&Answer::Status(self.status().await?)).await?,
            Question::Members {} => {
                for member in self.members() {
                    to.send(&Answer::Member(member)).await?;
                }
            }
            Question::Sessions { context, id, values } => {
                let describe = move |key: &Key, kept: &Kept| Answer::Session(line(key, kept, values, now()));
                self.sessions(context, id, describe, &mut to).await?;
            }
            Question::Export { context } => {
                let describe = |key: &Key, kept: &Kept| Answer::Stored(stored(&key.id, kept));
                self.sessions(Some(context), None, describe, &mut to).await?;
            }
            Question::Import { context, sessions } => match self.import(&context, sessions, &mut from).await?
            {
                Ok(answer) => to.send(&answer).await?,
                Err(why) => return to.refuse(why).await,
            },
        }
        to.send(&Answer::End {}).await
    }

    async fn status(&self) -> io::Result<Status> {
        let looked = self.look(|replica, health| {
            let contexts: Vec<_> =
                replica.contexts().map(|(name, sessions)| (decode_utf8(name), sessions)).collect();
            (contexts, replica.len(), replica.bytes(), health.clone())
        });
        let (contexts, sessions, bytes, health) = looked.await?;
        let mut contexts: Vec<_> =
            contexts.into_iter().map(|(context, sessions)| ContextLine { context, sessions }).collect();
        contexts.sort_by(|one, other| one.context.cmp(&other.context));
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            address: health.address,
            ready: health.is_ready,
            uptime: now() - self.facts.started,
            members: self.members().iter().filter(|member| member.alive).count(),
            sessions,
            bytes,
            contexts,
            vault: self.facts.vault.clone(),
            unwritten: health.unwritten,
            vault_trouble: health.vault_trouble,
        })
    }

    fn members(&self) -> Vec<MemberLine> {
        let now = now();
        let report = self.reports.borrow();
        let members = report.members.values().map(|member| MemberLine {
            address: member.identity.address().to_string(),
            id: to_hexadecimal(&member.identity.unique_id),
            domain: String::from_utf8_lossy(&member.domain).into_owned(),
            alive: !matches!(member.life, Life::Gone(_)),
            state: member.life.words().to_owned(),
            since: (now - member.since).max(0),
            routes: member.routes.iter().cloned().collect(),
        });
        members.collect()
    }

    async fn sessions<F>(
        &self,
        context: Option<String>,
        id: Option<String>,
        describe: F,
        to: &mut Out,
    ) -> io::Result<()>
    where
        F: Fn(&Key, &Kept) -> Answer + Send + Clone + 'static,
    {
        let context = context.map(|context| encode_utf8(&context));
        let id = id.map(|id| encode_utf8(&id)).unwrap_or_default();
        let find = move |replica: &Replica, _: &Health| -> Vec<Key> {
            let all = replica.sessions().filter(|(key, _)| {
                context.as_ref().is_none_or(|context| **context == *key.context) && key.id.starts_with(&id)
            });
            all.map(|(key, _)| key).collect()
        };
        let mut keys = self.look(find).await?;
        keys.sort();
        while !keys.is_empty() {
            let rest = keys.split_off(keys.len().min(STEP));
            let (step, describe) = (std::mem::replace(&mut keys, rest), describe.clone());
            let look = move |replica: &Replica, _: &Health| -> Vec<Answer> {
                step.iter().filter_map(|key| Some(describe(key, replica.get(key)?))).collect()
            };
            for answer in self.look(look).await? {
                to.send(&answer).await?;
            }
        }
        Ok(())
    }

    /// All sessions or none: a file that breaks off in the middle changes nothing.
    async fn import(
        &self,
        context: &str,
        count: usize,
        from: &mut BufReader<OwnedReadHalf>,
    ) -> io::Result<Result<Answer, String>> {
        let longest = self.facts.value_limit.saturating_mul(4).max(64 << 20);
        let context_name = encode_utf8(context);
        let mut sessions = Vec::new();
        while sessions.len() < count {
            let Some(text) = next_line(from, longest).await? else {
                return Ok(Err(format!("only {} of {count} sessions came; none was taken", sessions.len())));
            };
            let read = serde_json::from_str::<Stored>(&text).map_err(|error| error.to_string());
            let kept = read.and_then(|stored| {
                let bytes = from_hexadecimal(&stored.stored).ok_or("no hexadecimal digits")?;
                let kept = read_stored_bytes(&bytes, self.facts.value_limit, now());
                kept.map_err(|error| error.to_string())
            });
            match kept {
                Ok((id, kept)) => sessions.push((Key::new(&context_name, &id), kept)),
                Err(why) => return Ok(Err(format!("session {} cannot be read: {why}", sessions.len() + 1))),
            }
        }
        let (done, taken) = oneshot::channel();
        let ends = || io::Error::other("the agent ends");
        self.hub.send(Request::Import(sessions, done)).await.map_err(|_| ends())?;
        let taken = taken.await.map_err(|_| ends())?;
        info!(%context, sessions = taken, "sessions were imported");
        Ok(Ok(Answer::Imported { sessions: count, known: count - taken.min(count) }))
    }
}

/// The next line; `None` at the end.
async fn next_line(from: &mut BufReader<OwnedReadHalf>, longest: usize) -> io::Result<Option<String>> {
    let mut text = String::new();
    let mut limited = from.take(longest as u64);
    let read = limited.read_line(&mut text);
    timeout(PATIENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if text.is_empty() {
        return Ok(None);
    }
    if text.ends_with('\n') { Ok(Some(text)) } else { Err(io::ErrorKind::InvalidData.into()) }
}

struct Out {
    to: OwnedWriteHalf,
}

impl Out {
    async fn send(&mut self, answer: &Answer) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer).map_err(io::Error::other)?;
        line.push(b'\n');
        timeout(PATIENCE, self.to.write_all(&line)).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    async fn refuse(&mut self, why: String) -> io::Result<()> {
        self.send(&Answer::Refused { why }).await
    }
}
