// SPDX-License-Identifier: Apache-2.0
//! Tells programs that do not read httpd's configuration who the members of its balancers are.

use super::bindings::Bindings;
use crate::config::plan::{Member, MemberId, Plan, Scheme};
use crate::shared::{Naming, Protocol, Region};

/// Names all members of balancers by their slots. For the parent process only.
pub(super) fn publish(plan: &Plan, region: &Region, bindings: &Bindings, generation: u32) {
    let name = |balancer: &str, id: MemberId| {
        region.name_member(bindings.member(id), generation, &naming(balancer, plan.member(id)));
    };
    for balancer in &plan.balancers {
        balancer.members.iter().for_each(|id| name(&balancer.name, *id));
        for id in balancer.places() {
            let place = Naming { balancer: balancer.name.clone(), ..Naming::default() };
            region.name_member(bindings.member(id), generation, &place);
        }
    }
    for balancer in &plan.jk.balancers {
        balancer.members.iter().for_each(|id| name(&balancer.name, *id));
    }
}

fn naming(balancer: &str, member: &Member) -> Naming {
    let protocol = match member.scheme {
        _ if member.socket.is_some() => Protocol::Unknown,
        Scheme::Ajp => Protocol::Ajp,
        Scheme::Http | Scheme::Ws => Protocol::Http,
        Scheme::Https | Scheme::Wss => Protocol::Tcp,
    };
    Naming {
        protocol,
        port: member.port,
        balancer: balancer.to_owned(),
        url: member.name.clone(),
        host: if member.socket.is_some() { String::new() } else { member.host.clone() },
        route: member.route.clone(),
    }
}
