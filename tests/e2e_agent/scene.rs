// SPDX-License-Identifier: Apache-2.0
//! What the tests of the agent have in common: a cluster with an agent, and a user who keeps a cookie.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::support::agent::Agent;
use crate::support::client::{Client, Response};
use crate::support::cluster::{Cluster, Membership};
use crate::support::tomcat::Tomcat;
use crate::support::{PATIENCE, scratch_dir, wait_until};

/// How many clusters run at once: each has several virtual machines that want to start.
const AT_ONCE: usize = 3;

static PLACES: (Mutex<usize>, Condvar) = (Mutex::new(AT_ONCE), Condvar::new());

/// A place on this machine, until it is dropped.
pub struct Place(());

impl Place {
    pub fn take() -> Place {
        let free = PLACES.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = PLACES.1.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        *PLACES.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        PLACES.1.notify_one();
    }
}

/// An agent and Tomcats that know each other.
pub struct Scene {
    pub cluster: Cluster,
    pub agent: Agent,
    pub nodes: Vec<Tomcat>,
    _place: Place,
}

impl Scene {
    /// With the nodes A and B, all started, and known to the agent.
    pub fn of_two(cluster: Cluster) -> Scene {
        let nodes = vec![cluster.node("A"), cluster.node("B")];
        Scene::with(cluster, nodes)
    }

    pub fn of_one(cluster: Cluster) -> Scene {
        let nodes = vec![cluster.node("A")];
        Scene::with(cluster, nodes)
    }

    pub fn with(cluster: Cluster, nodes: Vec<Tomcat>) -> Scene {
        let agent = Agent::prepare(scratch_dir("agent"), &cluster.agent_toml());
        Scene::with_agent(cluster, agent, nodes)
    }

    /// With an agent that is not started yet.
    pub fn with_agent(cluster: Cluster, mut agent: Agent, nodes: Vec<Tomcat>) -> Scene {
        let place = Place::take();
        agent.launch();
        let mut scene = Scene { cluster, agent, nodes, _place: place };
        scene.agent.wait_for(&["the agent is ready"]);
        scene.start_all();
        scene
    }

    /// With Tomcats only. The first is up before the others start: two that start together ask each other, and wait for a minute.
    pub fn without_agent(cluster: Cluster, nodes: Vec<Tomcat>) -> Scene {
        let place = Place::take();
        let agent = Agent::prepare(scratch_dir("agent"), &cluster.agent_toml());
        let mut scene = Scene { cluster, agent, nodes, _place: place };
        scene.nodes[0].restart();
        let (first, others) = scene.nodes.split_at_mut(1);
        others.iter_mut().for_each(Tomcat::launch_again);
        others.iter_mut().for_each(|node| node.wait_ready(|_| {}));
        let knows_all = || first[0].log().matches("member added").count() >= others.len();
        wait_until("the first node to know the others", PATIENCE, knows_all);
        scene
    }

    /// Starts the nodes that do not run and waits until they and the agent know each other.
    pub fn start_all(&mut self) {
        let started: Vec<_> = (0..self.nodes.len()).filter(|at| self.nodes[*at].has_ended()).collect();
        if self.cluster.membership == Membership::Multicast {
            started.iter().for_each(|at| self.nodes[*at].launch_again());
        }
        for at in started {
            // Static members have no age: two nodes that start together may ask each other, and wait for a minute.
            if self.nodes[at].has_ended() {
                self.nodes[at].launch_again();
            }
            self.nodes[at].wait_ready(|_| {});
            self.knows_agent(at);
        }
    }

    /// Waits until a node counts the agent among its members.
    pub fn knows_agent(&self, at: usize) {
        let port = format!(":{}", self.cluster.agent_port);
        let node = &self.nodes[at];
        let knows = || node.log().lines().any(|line| line.contains("member added") && line.contains(&port));
        wait_until(
            &format!("Tomcat {} to know the agent ({})", node.route(), node.log_file().display()),
            PATIENCE,
            knows,
        );
    }

    pub fn kill_all(&mut self) {
        for node in &mut self.nodes {
            node.kill_9();
        }
    }

    /// A user of a node.
    pub fn user(&self, at: usize) -> User {
        User::at(self.nodes[at].address())
    }
}

/// Somebody with the cookie of a session, and no wish to log in again.
#[derive(Clone)]
pub struct User {
    cookie: String,
    address: std::net::SocketAddr,
    host: String,
    context: String,
}

impl User {
    /// A user of a node on this machine, without a session.
    pub fn at(address: std::net::SocketAddr) -> User {
        User { cookie: String::new(), address, host: "localhost".to_owned(), context: String::new() }
    }

    /// The same user in another web application, of another host, without a session.
    pub fn of(&self, host: &str, context: &str) -> User {
        User { cookie: String::new(), host: host.to_owned(), context: context.to_owned(), ..self.clone() }
    }

    /// The balancer sends the user there from now on.
    pub fn moves_to(&mut self, node: &Tomcat) {
        self.address = node.address();
    }

    /// # Errors
    /// There is no answer, or it is not 200.
    pub fn try_get(&mut self, path: &str) -> Result<Response, String> {
        let mut head = format!("GET {}{path} HTTP/1.1\r\nHost: {}\r\n", self.context, self.host);
        if !self.cookie.is_empty() {
            head.push_str(&format!("Cookie: JSESSIONID={}\r\n", self.cookie));
        }
        let mut client = Client::new(self.address);
        let response =
            client.send_raw(format!("{head}\r\n").as_bytes()).and_then(|()| client.read_response("GET"));
        let response = response.map_err(|error| format!("{path}: {error}"))?;
        if response.status != 200 {
            return Err(format!("{path}: {} {}", response.status, response.text()));
        }
        if let Some(set) = response.header("Set-Cookie")
            && let Some(id) = set.strip_prefix("JSESSIONID=").and_then(|rest| rest.split(';').next())
        {
            self.cookie = id.to_owned();
        }
        Ok(response)
    }

    /// # Panics
    /// If there is no answer, or one that is not 200.
    #[track_caller]
    pub fn get(&mut self, path: &str) -> Response {
        match self.try_get(path) {
            Ok(response) => response,
            Err(error) => panic!("{error}"),
        }
    }

    /// The session's id.
    pub fn session(&self) -> &str {
        &self.cookie
    }

    /// The beginning of the id, as the agent's log shows it.
    pub fn beginning(&self) -> &str {
        &self.cookie[..8]
    }

    /// Sets an attribute to a text.
    #[track_caller]
    pub fn set(&mut self, name: &str, value: &str) {
        self.get(&format!("/set?name={name}&value={value}"));
    }

    /// What an attribute is now, in a session that is not made for this question.
    #[track_caller]
    pub fn value(&mut self, name: &str) -> Option<String> {
        self.get(&format!("/get?name={name}")).line("value").filter(|value| value != "null")
    }

    /// Fails unless every kind of attribute is there and right.
    #[track_caller]
    pub fn has_everything(&mut self) {
        let response = self.get("/check");
        assert_eq!(response.line("wrong").as_deref(), Some("[]"), "{}", response.text());
        assert_eq!(
            response.line("session").as_deref(),
            Some(self.session()),
            "the session was not made anew"
        );
    }
}
