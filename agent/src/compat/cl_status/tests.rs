//! Each subcommand about how-to 001 in its best hour, and in worse ones.

use super::*;
use crate::status::tests::healthy;
use crate::status::{Ping, Status};

/// What is said to these words about this status; there is one directive, `keepalive 1ms`.
fn asked(status: &Status, words: &str) -> Answer {
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    ask(
        &words,
        || Ok(status.clone()),
        |node, name| {
            assert_eq!(node, status.node);
            Ok((name == "keepalive").then(|| "1ms".to_owned()))
        },
    )
}

fn with_ping() -> Status {
    let mut status = healthy();
    status.pings.push(Ping {
        name: "192.0.2.1".to_owned(),
        group: false,
        status: PingStatus::Ping,
        hosts: Vec::new(),
    });
    status
}

#[test]
fn every_subcommand_gives_heartbeats_answer_and_code() {
    let status = with_ping();
    for (words, out, code) in [
        ("hbstatus", "Heartbeat is running on this machine.\n", OK),
        ("listnodes", "192.0.2.1\nserver2\nserver1\n", OK),
        ("listnodes -n", "server2\nserver1\n", OK),
        ("listnodes -p", "192.0.2.1\n", OK),
        ("listnodes -p -n -m", "The nodes are as follow:\n192.0.2.1\nserver2\nserver1\n", OK),
        ("nodestatus server2", "active\n", OK),
        ("nodestatus SERVER2", "active\n", OK),
        ("nodestatus -m server2", "The cluster node server2 is active\n", OK),
        ("nodestatus 192.0.2.1", "ping\n", OK),
        ("nodetype server1", "normal\n", OK),
        ("nodetype 192.0.2.1", "ping\n", OK),
        ("nodeweight server1", "100\n", OK),
        ("listhblinks server2", "\teth0\n\teth1\n", OK),
        ("listhblinks server2 -v", "\teth0\tup\n\teth1\tup\n", OK),
        ("listhblinks 192.0.2.1", "\t192.0.2.1\n", OK),
        ("hblinkstatus server2 eth1", "up\n", OK),
        ("hblinkstatus server2 eth1 -m", "The node server2's heartbeat link eth1 is up\n", OK),
        ("clientstatus server2 ipfail 1000", "offline\n", NEGATIVE),
        ("rscstatus", "local\n", OK),
        ("rscstatus -m", "This node is holding local resources.\n", OK),
        ("hbparameter -p keepalive", "1ms\n", OK),
        ("hbparameter -pkeepalive -m", "Heartbeat parameter keepalive's value: 1ms\n", OK),
    ] {
        assert_eq!(asked(&status, words), Answer::new(out, code), "{words}");
    }
    assert!(asked(&status, "").out.starts_with("Usage:") && asked(&status, "-h").code == OK);
    let page = asked(&status, "hbstatus -v");
    for line in ["managed by:\t\"haresources\"\n", "\nserver2\tactive\t(nodetype: normal)\n\teth0\tup\n"] {
        assert!(page.out.contains(line), "{line:?} is not in {}", page.out);
    }
}

#[test]
fn wrong_words_have_codes_of_their_own() {
    let status = healthy();
    for (words, code) in [
        ("nonsense", PARAMETER),
        ("nodestatus", PARAMETER),
        ("nodestatus nobody", PARAMETER),
        ("nodetype nobody", PARAMETER),
        ("hblinkstatus server2", PARAMETER),
        ("hblinkstatus server2 eth7", UNKNOWN),
        ("hblinkstatus nobody eth0", UNKNOWN),
        ("listhblinks nobody", UNKNOWN),
        ("clientstatus nobody ipfail", UNKNOWN),
        ("nodestatus -x server1", PARAMETER),
        ("hbparameter", PARAMETER),
        ("hbparameter -p", PARAMETER),
        ("hbparameter -p nonsense", NEGATIVE),
    ] {
        let answer = asked(&status, words);
        assert_eq!(answer.code, code, "{words}: {answer:?}");
        assert!(answer.out.is_empty() && !answer.err.is_empty(), "{words}: {answer:?}");
    }
}

#[test]
fn a_dead_node_and_a_silent_link_are_negative() {
    let mut status = with_ping();
    status.ipfail = true;
    assert_eq!(asked(&status, "clientstatus server2 ipfail"), Answer::new("online\n", OK));
    status.nodes[1].status = NodeStatus::Dead;
    status.pings[0].status = PingStatus::Dead;
    status.links[0].peers[0].up = false;
    for (words, out) in [
        ("nodestatus server2", "dead\n"),
        ("nodestatus 192.0.2.1", "dead\n"),
        ("hblinkstatus server2 eth0", "dead\n"),
        ("clientstatus server2 ipfail", "offline\n"),
    ] {
        assert_eq!(asked(&status, words), Answer::new(out, NEGATIVE), "{words}");
    }
    status.nodes[1].status = NodeStatus::Init;
    assert_eq!(asked(&status, "nodestatus server2").code, NEGATIVE);
}

#[test]
fn without_an_agent_hbstatus_says_so_and_all_others_cannot_sign_on() {
    let gone = || Err(ClientError::NotRunning { path: "/run/xbeat/control".into() });
    let ask_nobody = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        ask(&words, gone, |_, _| Ok(None))
    };
    let stopped = Answer::new("Heartbeat is stopped on this machine.\n", NEGATIVE);
    assert_eq!(ask_nobody(&["hbstatus"]), stopped);
    let answer = ask_nobody(&["nodestatus", "server1"]);
    assert_eq!(answer.code, NEGATIVE);
    assert!(answer.err.contains("Cannot signon with heartbeat"), "{answer:?}");
}

#[test]
fn what_a_node_holds_is_said_in_heartbeats_words() {
    let seen = |change: fn(&mut Status)| {
        let mut status = healthy();
        change(&mut status);
        asked(&status, "rscstatus").out
    };
    // server1 is at home; it has its own, and all once it is alone.
    assert_eq!(seen(|_| ()), "local\n");
    assert_eq!(seen(|status| status.alone = true), "all\n");
    assert_eq!(seen(|status| status.groups[0].owner = Some("server2".to_owned())), "none\n");
    assert_eq!(seen(|status| status.groups[0].state = GroupState::Starting), "transition\n");
    assert_eq!(seen(|status| status.state = State::Starting), "transition\n");
    // The idle one has its own, which are none, and all when it has taken over.
    assert_eq!(seen(|status| status.node = "server2".to_owned()), "local\n");
    assert_eq!(
        seen(|status| {
            status.node = "server2".to_owned();
            status.groups[0].owner = Some("server2".to_owned());
        }),
        "all\n"
    );
}
