//! A network namespace of its own for a test, gone with the test's thread.

use std::future::Future;
use std::time::Duration;

use futures_util::StreamExt as _;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::link::LinkFlags;
use rtnetlink::{Handle, LinkUnspec, LinkVeth};

/// Far longer than anything here takes, also on a machine that is busy with other things.
const AMPLE: Duration = Duration::from_secs(60);

/// Runs a test on a thread in a new network namespace; without the privilege says so and does nothing.
pub(crate) fn in_namespace<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    let thread = std::thread::spawn(move || {
        match unshare(CloneFlags::CLONE_NEWNET) {
            Ok(()) => {}
            Err(Errno::EPERM) => return eprintln!("SKIP: a network namespace needs CAP_SYS_ADMIN"),
            Err(error) => panic!("unshare: {error}"),
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { tokio::time::timeout(AMPLE, test()).await.expect("the test hangs") });
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// The test's own way to change the namespace, not the one that is tested.
pub(crate) fn lab() -> Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

/// Two connected interfaces, both up and ready: the kernel activates their queues a little after the carrier is there,
/// and what is sent in between is lost.
pub(crate) async fn veth(lab: &Handle, one: &str, other: &str) {
    lab.link().add(LinkVeth::new(one, other).build()).execute().await.unwrap();
    for name in [one, other] {
        lab.link().set(LinkUnspec::new_with_name(name).up().build()).execute().await.unwrap();
    }
    for name in [one, other] {
        while !running(lab, name).await {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn running(lab: &Handle, name: &str) -> bool {
    let mut answer = std::pin::pin!(lab.link().get().match_name(name).execute());
    let link = answer.next().await.unwrap().unwrap();
    link.header.flags.contains(LinkFlags::Running)
}
