//! What in a status wants an administrator's attention, in plain words.

use super::{Group, GroupState, NetworkState, Node, NodeStatus, PingStatus, State, Status};

impl Status {
    /// Everything that is wrong, one sentence each; empty when the cluster is healthy. `xbeat status` exits 0 exactly
    /// then. Reduced speed ([`Status::lost`]) and doubts ([`Status::warnings`]) are shown, but are not wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut found = Vec::new();
        match self.state {
            State::Active => {}
            State::Starting => found.push("the agent is starting and serves nothing yet".to_owned()),
            State::Stopping => found.push("the agent is stopping".to_owned()),
        }
        if !self.lease.valid {
            found.push("the agent's lease ran out: this node's gates are closed".to_owned());
        }
        found.extend(self.groups.iter().filter_map(|group| self.group_problem(group)));
        found.extend(self.nodes.iter().filter(|node| !node.own).filter_map(node_problem));
        found.extend(self.unfenced.iter().cloned());
        let pings = self.pings.iter().filter(|ping| ping.status == PingStatus::Dead);
        found.extend(pings.map(|ping| format!("ping node {} does not answer", ping.name)));
        let doubted = self.networks.iter().filter(|network| network.state == NetworkState::Doubt);
        found.extend(doubted.map(|network| format!("{}: {}", network.interface, network.text)));
        for link in &self.links {
            if !link.up {
                let why = link.line.as_ref().and(link.why.as_ref()).map(|why| format!(": {why}"));
                found.push(format!("link {} is down{}", link.name, why.unwrap_or_default()));
                continue;
            }
            // A node that is silent everywhere was named above; here only those heard on another link.
            let silent = link.peers.iter().filter(|peer| !peer.up && self.is_heard(&peer.node));
            found.extend(silent.map(|peer| format!("{} is not heard on link {}", peer.node, link.name)));
        }
        found.extend(self.nodes.iter().filter_map(|node| self.standing_back(node)));
        found
    }

    /// Why nobody takes over although a node is silent on a link: it is alive on another.
    fn standing_back(&self, node: &Node) -> Option<String> {
        if node.own || !self.is_heard(&node.name) {
            return None;
        }
        let name = &node.name;
        let on = |alive: bool| {
            let links = self.links.iter().filter(move |link| {
                let mut peers = link.peers.iter().filter(|peer| peer.node == *name);
                link.up && peers.any(|peer| peer.up == alive)
            });
            links.map(|link| link.name.as_str()).collect::<Vec<_>>()
        };
        let (alive, silent) = (on(true).join(", "), on(false));
        if alive.is_empty() || silent.is_empty() {
            return None;
        }
        if self.groups.iter().any(|group| group.owner.as_ref() == Some(name)) {
            return Some(format!("not taken over: {name} is alive on {alive}"));
        }
        let ours = self.groups.iter().any(|group| group.owner.as_ref() == Some(&self.node));
        ours.then(|| format!("{name} does not take over: it is alive on {alive}"))
    }

    fn is_heard(&self, name: &str) -> bool {
        let status = self.nodes.iter().find(|node| node.name == name).map(|node| node.status);
        matches!(status, Some(NodeStatus::Up | NodeStatus::Active))
    }

    fn group_problem(&self, group: &Group) -> Option<String> {
        let key = &group.key;
        if group.state == GroupState::Failed {
            return Some(format!("group {key} failed here"));
        }
        // Before it is active the agent cannot know an owner, and that it starts was said already.
        let Some(owner) = group.owner.as_deref() else {
            return (self.state != State::Starting).then(|| format!("group {key} has no owner"));
        };
        if let Some(better) = &group.better {
            return Some(format!("group {key} is on {owner}, but {better} sees more of its network"));
        }
        if owner != self.node || group.state != GroupState::Started {
            return None;
        }
        if !group.open {
            return Some(format!("group {key} is ours, but its gate is closed"));
        }
        let missing = group.vips.iter().find(|vip| !vip.up)?;
        Some(format!("group {key} is ours, but {} is not on its interface", missing.address))
    }
}

fn node_problem(node: &Node) -> Option<String> {
    let name = &node.name;
    match node.status {
        NodeStatus::Refused => {
            let note = node.note.as_deref().unwrap_or("it is heard, but not believed");
            Some(format!("{name} is refused: {note}"))
        }
        NodeStatus::Dead => Some(format!("{name} is dead")),
        NodeStatus::Init => Some(format!("{name} was not heard yet")),
        NodeStatus::Up | NodeStatus::Active if !node.config_matches => {
            Some(format!("{name} has another configuration: make ha.cf and haresources equal"))
        }
        NodeStatus::Up | NodeStatus::Active if !node.hears_us => {
            Some(format!("{name} is heard, but does not hear this node"))
        }
        NodeStatus::Up | NodeStatus::Active => None,
    }
}
