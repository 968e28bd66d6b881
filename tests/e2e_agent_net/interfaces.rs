// SPDX-License-Identifier: Apache-2.0
//! Which interface, which family of addresses, which domain.

use crate::Hosts;
use crate::scene::Scene;
use crate::support::cluster::{Cluster, Membership};
use crate::support::network::{Host, alone};
use crate::support::{PATIENCE, wait_until};

#[test]
fn auto_announces_the_address_that_nodes_reach_and_says_why() {
    alone("interfaces::auto_announces_the_address_that_nodes_reach_and_says_why", |network| {
        let hosts = Hosts::of(network);
        hosts.agent.plug_elsewhere("10.99.0.1/24");
        let cluster = Cluster { agent_bind: "auto".to_owned(), ..hosts.cluster() };

        // The route to the group leads to the nodes.
        hosts.agent.run("route add default via 10.77.0.254");
        let mut agent = hosts.agent(&cluster);
        agent.launch();
        let by_route =
            "packets to the group leave by eth0, not by eth1 10.99.0.1; [membership] bind names another";
        agent.wait_for(&["members reach the agent here address=10.77.0.1:4999", by_route]);
        agent.wait_for(&["the agent is ready"]);
        assert!(agent.stop(), "it ends by itself");

        // It leads elsewhere: nobody is heard there.
        hosts.agent.run("route replace default dev eth1");
        let mut scene =
            Scene::with_agent(cluster.clone(), agent, vec![hosts.nodes(&cluster, Host::v4).remove(0)]);
        scene.agent.wait_for(&["members reach the agent here address=10.99.0.1:4999", "leave by eth1"]);
        scene
            .agent
            .wait_for(&["members reach the agent here address=10.77.0.1:4999", "members are heard on eth0"]);
        let status = scene.agent.margay(&["members"]);
        assert!(String::from_utf8_lossy(&status.stdout).contains("10.77.0.2:4000"), "{status:?}");
        let mut user = scene.user(0);
        user.set("word", "kept");
        scene.agent.wait_kept(user.beginning(), 2);
        scene.kill_all();

        // It knows the node: also the next time it finds it, and it follows nobody else.
        scene.agent.kill_9();
        scene.agent.launch();
        scene.agent.wait_for(&["members reach the agent here address=10.99.0.1:4999"]);
        let mut stranger = cluster.node_on(&hosts.b, hosts.b.v4(), "B");
        stranger.restart();
        scene.agent.wait_for(&["WARN", "a member is heard on an interface that is not used", "10.77.0.3"]);
        stranger.kill_9();
        scene.agent.kill_9();
        scene.agent.launch();
        scene.nodes[0].launch_again();
        scene
            .agent
            .wait_for(&["members reach the agent here address=10.77.0.1:4999", "members are heard on eth0"]);
        scene.nodes[0].wait_ready(|_| {});
        let has_session = || user.clone().value("word").as_deref() == Some("kept");
        wait_until("the session", PATIENCE, has_session);
    });
}

#[test]
fn clusters_of_two_domains_in_one_group_do_not_mix() {
    alone("interfaces::clusters_of_two_domains_in_one_group_do_not_mix", |network| {
        let hosts = Hosts::of(network);
        let of = |domain: &str| {
            let filter = "org.apache.catalina.tribes.group.interceptors.DomainFilterInterceptor";
            let filter = format!(r#"<Interceptor className="{filter}" domain="{domain}"/>"#);
            Cluster { domain: domain.to_owned(), interceptors: (filter, String::new()), ..hosts.cluster() }
        };
        let (shop, office) = (of("shop"), of("office"));
        let nodes = vec![shop.node_on(&hosts.a, hosts.a.v4(), "A")];
        let mut scene = Scene::with_agent(shop.clone(), hosts.agent(&shop), nodes);
        let mut foreign = office.node_on(&hosts.b, hosts.b.v4(), "B");
        foreign.restart();
        let (mut ours, mut theirs) = (scene.user(0), crate::scene::User::at(foreign.address()));
        theirs.set("word", "theirs");
        ours.set("word", "ours");
        scene.agent.wait_kept(ours.beginning(), 2);
        assert_eq!(scene.agent.count(&["a member joined"]), 1, "{}", scene.agent.log());
        assert_eq!(scene.agent.count(&[theirs.beginning()]), 0);
        // Nor is anything given to a node of another domain that starts.
        foreign.kill_9();
        scene.kill_all();
        foreign.restart();
        assert_eq!(theirs.value("word"), None);
        let mut ours_there = ours.clone();
        ours_there.moves_to(&foreign);
        assert_eq!(ours_there.value("word"), None);
        scene.start_all();
        assert_eq!(ours.value("word").as_deref(), Some("ours"));
    });
}

#[test]
fn a_cluster_may_live_in_ipv6() {
    alone("interfaces::a_cluster_may_live_in_ipv6", |network| {
        let hosts = Hosts::of(network);
        // Of the site: Java binds to the group, which for one of the link (ff02) needs the interface behind a % sign.
        let group = "ff05::e4".parse().expect("a group");
        let cluster = Cluster { group, agent_bind: hosts.agent.v6().to_string(), ..hosts.cluster() };
        let (agent, nodes) = (hosts.agent(&cluster), hosts.nodes(&cluster, Host::v6));
        survives(Scene::with_agent(cluster, agent, nodes));
    });
}

#[test]
fn static_members_may_have_ipv6_addresses() {
    alone("interfaces::static_members_may_have_ipv6_addresses", |network| {
        let hosts = Hosts::of(network);
        let ports = [(&hosts.a, 4000), (&hosts.b, 4000), (&hosts.agent, 4999)];
        let cluster = Cluster {
            membership: Membership::Interceptor,
            static_members: ports.map(|(host, port)| (host.v6(), port).into()).to_vec(),
            agent_bind: "auto".to_owned(),
            ..hosts.cluster()
        };
        let (agent, nodes) = (hosts.agent(&cluster), hosts.nodes(&cluster, Host::v6));
        let scene = Scene::with_agent(cluster, agent, nodes);
        scene.agent.wait_for(&["members reach the agent here address=[fd77::1]:4999"]);
        survives(scene);
    });
}

/// A session of both nodes survives their death.
fn survives(mut scene: Scene) {
    let mut users = [scene.user(0), scene.user(1)];
    for user in &mut users {
        user.set("word", "kept");
        scene.agent.wait_kept(user.beginning(), 2);
    }
    let members = || scene.agent.count(&["a member joined", "[fd77::"]) >= 2;
    wait_until("both nodes at the agent", PATIENCE, members);
    scene.kill_all();
    scene.start_all();
    for user in &mut users {
        assert_eq!(user.value("word").as_deref(), Some("kept"));
    }
}
