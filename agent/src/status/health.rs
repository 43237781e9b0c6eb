//! What in a status wants an administrator's attention, in plain words.

use super::{Group, GroupState, Node, NodeStatus, State, Status};

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
        for link in &self.links {
            if !link.up {
                found.push(format!("link {} is down", link.name));
                continue;
            }
            // A node that is silent everywhere was named above; here only those heard on another link.
            let silent = link.peers.iter().filter(|peer| !peer.up && self.is_heard(&peer.node));
            found.extend(silent.map(|peer| format!("{} is not heard on link {}", peer.node, link.name)));
        }
        found
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
