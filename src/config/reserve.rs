// SPDX-License-Identifier: Apache-2.0
//! Members that join while the server runs (`growth`). The plan has places for them and knows what each would be like;
//! who takes a place is written in shared memory, and each process makes the member when it first meets it.

use std::sync::{Arc, OnceLock};

use super::compile::upgrade_of;
use super::draft::index;
use super::plan::{Balancer, BalancerId, Member, MemberId, Plan};
use super::url::{self, MemberUrl, Url};
use crate::base::key::Key;

/// A place for one member.
#[derive(Debug)]
pub struct Reserve {
    /// Whose member it would be.
    pub balancer: BalancerId,
    /// What it would be like, but for its URL.
    template: Arc<Member>,
    /// Made at most once; `None` for a URL that no member can have.
    joined: OnceLock<Option<Member>>,
}

impl Reserve {
    /// The member that took the place, else what one would be like.
    pub fn member(&self) -> &Member {
        self.joined.get().and_then(Option::as_ref).unwrap_or(&self.template)
    }
}

/// Balancers that members may join, and what these would be like.
pub(super) type Newcomers = Vec<(BalancerId, Arc<Member>)>;

impl Balancer {
    /// The places for members that may join.
    pub fn places(&self) -> impl Iterator<Item = MemberId> + Clone + use<> {
        self.places.clone().map(MemberId)
    }
}

impl Plan {
    /// Makes the places, last of all: their numbers follow those of all members of the files.
    pub(super) fn add_places(&mut self, newcomers: Newcomers) {
        for (id, template) in newcomers {
            let first = index(self.member_count());
            let balancer = &mut self.balancers[id.0 as usize];
            balancer.places = first..first + balancer.growth;
            let places = (0..balancer.growth).map(|_| Reserve {
                balancer: id,
                template: Arc::clone(&template),
                joined: OnceLock::new(),
            });
            self.reserve.extend(places);
        }
    }

    /// The place with this number; `None` for members of the file.
    pub fn reserve(&self, id: MemberId) -> Option<&Reserve> {
        self.reserve.get((id.0 as usize).checked_sub(self.members.len())?)
    }

    /// How many members there are, places for those that may join included: their numbers go from 0 to this.
    pub fn member_count(&self) -> usize {
        self.members.len() + self.reserve.len()
    }

    /// The members of the file, and of each place what a member there is or would be like.
    pub fn all_members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(self.reserve.iter().map(Reserve::member))
    }

    /// The member that took a place; `url` is asked for its URL when this process meets it for the first time. `None` if
    /// no member can have that URL.
    pub fn joined(&self, id: MemberId, url: impl FnOnce() -> Option<String>) -> Option<&Member> {
        let reserve = self.reserve(id)?;
        let make = || self.added(reserve, &url()?);
        reserve.joined.get_or_init(make).as_ref()
    }

    fn added(&self, reserve: &Reserve, url: &str) -> Option<Member> {
        let url = member_url(url).ok()?;
        let mut member = Member::clone(&reserve.template);
        member.key = added_key(self.balancer(reserve.balancer), &url.name);
        member.upgrade = upgrade_of(url.scheme, None);
        let MemberUrl { name, scheme, host, port, socket, path, .. } = url;
        (member.name, member.scheme, member.host, member.port) = (name, scheme, host, port);
        (member.socket, member.path) = (socket, path);
        Some(member)
    }

    /// The members of a balancer, as far as this process has met those that joined.
    pub fn met<'p>(&'p self, balancer: &'p Balancer) -> impl Iterator<Item = &'p Member> {
        let declared = balancer.members.iter().map(|id| self.member(*id));
        let places = balancer.places().filter_map(|id| self.reserve(id));
        declared.chain(places.filter_map(|place| place.joined.get().and_then(Option::as_ref)))
    }

    /// The balancer a member belongs to.
    pub fn owner(&self, id: MemberId) -> Option<&Balancer> {
        match self.reserve(id) {
            Some(reserve) => Some(self.balancer(reserve.balancer)),
            None => self.balancers.iter().find(|balancer| balancer.members.contains(&id)),
        }
    }
}

/// The canonical name of a member that is to be added.
///
/// # Errors
/// Why no member can have the URL.
pub fn canonical(url: &str) -> Result<String, String> {
    member_url(url).map(|url| url.name)
}

fn member_url(text: &str) -> Result<MemberUrl, String> {
    match url::parse(text) {
        Ok(Url::Member(url)) if url.path.contains(|c: char| c.is_control() || c.is_whitespace()) => {
            Err("a path has neither blanks nor control characters".to_owned())
        }
        Ok(Url::Member(url)) => Ok(url),
        Ok(Url::Balancer(_)) => Err("a balancer cannot be a member of a balancer".to_owned()),
        Err(bad) => Err(bad.text),
    }
}

fn added_key(balancer: &Balancer, name: &str) -> Key {
    Key::of(&["added", &format!("{:?}", balancer.key), name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_names_is_written_as_in_a_file_or_refused() {
        for (text, name) in [
            ("AJP://Tomcat-1:8009", "ajp://tomcat-1"),
            ("HTTP://LOCALHOST:80/Foo", "http://localhost/Foo"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("unix:/run/app.sock|http://localhost/", "unix:/run/app.sock|http://localhost/"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(name), "{text}");
        }
        for text in [
            "",
            "foo",
            "/x",
            "balancer://c",
            "ftp://h/",
            "http://h/a b",
            "http://h/\r\nX: y",
            "http://h:70000",
        ] {
            assert!(canonical(text).is_err(), "{text}");
        }
    }
}
