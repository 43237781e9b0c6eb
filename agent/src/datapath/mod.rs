//! How the agent acts on the network of its node.

pub mod announce;
pub mod netlink;
#[cfg(test)]
mod testns;
