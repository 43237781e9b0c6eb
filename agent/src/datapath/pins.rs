//! Pins: what keeps programs, links and maps alive when the agent is not.
//!
//! They lie in a BPF file system: the machine's own where it is mounted, else one of our own under the run directory.
//! An agent that ends in order removes them. One that is killed leaves them, and with them closed gates.
//!
//! The agent's mount namespace may be its own and die with it (`ip netns exec` makes one). So the file system is looked
//! for, and if need be mounted, in the mount namespace of the oldest process that lets us in: process 1, as a rule.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::statfs::{FsType, statfs};

/// `BPF_FS_MAGIC` of linux/magic.h.
const BPF_FS: FsType = FsType(0xcafe_4a11);
/// Where systemd and most others mount it.
const USUAL: &str = "/sys/fs/bpf";

/// A directory of pins.
#[derive(Clone, Debug)]
pub struct Pins {
    /// The directory, held open: it is reached also when the process that led to it has ended.
    dir: Arc<File>,
    /// Our own mount: where it is, and in which mount namespace.
    own_mount: Option<(PathBuf, Arc<File>)>,
}

impl Pins {
    /// The pins of the agent that runs in `run_dir`: found, or made.
    ///
    /// # Errors
    /// Without privilege to mount or write there.
    pub fn of(run_dir: &Path) -> io::Result<Self> {
        let run_dir = fs::canonicalize(run_dir)?;
        let home = Home::find()?;
        if let Some(usual) = home.usual(&run_dir) {
            return Ok(Self { dir: make(&usual)?, own_mount: None });
        }
        let point = run_dir.join("bpf");
        let seen = home.sees(&point);
        fs::create_dir_all(&seen)?;
        if !is_bpffs(&seen) {
            let target = point.clone();
            inside(&home.namespace, move || {
                let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
                Ok(mount(Some("bpf"), &target, Some("bpf"), flags, None::<&str>)?)
            })?;
        }
        Ok(Self { dir: make(&seen.join("xbeat"))?, own_mount: Some((point, home.namespace)) })
    }

    /// The pins of another agent, which runs in `run_dir`. Makes nothing, and is for looking alone.
    ///
    /// # Errors
    /// Where it has none, or without privilege to look.
    pub fn find(run_dir: &Path) -> io::Result<Self> {
        let run_dir = fs::canonicalize(run_dir)?;
        let home = Home::find()?;
        let dir = home.usual(&run_dir).unwrap_or_else(|| home.sees(&run_dir.join("bpf")).join("xbeat"));
        Ok(Self { dir: Arc::new(File::open(dir)?), own_mount: None })
    }

    fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.dir.as_raw_fd()))
    }

    /// Where the map of that name is pinned.
    #[must_use]
    pub fn map(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Where the link of that name is pinned.
    #[must_use]
    pub fn link(&self, name: &str) -> PathBuf {
        self.path().join(format!("{LINK}{name}"))
    }

    /// Names of the links that are pinned.
    #[must_use]
    pub fn links(&self) -> Vec<String> {
        self.names().filter_map(|name| Some(name.strip_prefix(LINK)?.to_owned())).collect()
    }

    /// Removes the pin of a link: it is detached when nobody else holds it.
    pub fn remove_link(&self, name: &str) {
        remove(&self.link(name));
    }

    /// Removes the pins of maps; programs that are attached keep theirs.
    pub fn remove_maps(&self) {
        self.names().filter(|name| !name.starts_with(LINK)).for_each(|name| remove(&self.path().join(name)));
    }

    /// Removes everything.
    pub fn remove_all(&self) {
        self.names().for_each(|name| remove(&self.path().join(name)));
        match &self.own_mount {
            Some((point, namespace)) => {
                let point = point.clone();
                if let Err(error) = inside(namespace, move || Ok(umount2(&point, MntFlags::MNT_DETACH)?)) {
                    tracing::warn!("cannot unmount the BPF file system: {error}");
                }
            }
            None => {
                let dir = fs::read_link(self.path());
                let _ = dir.and_then(fs::remove_dir);
            }
        }
    }

    fn names(&self) -> impl Iterator<Item = String> + use<> {
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok())
    }
}

/// What the name of a link's pin begins with.
const LINK: &str = "link-";

fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!("cannot remove {}: {error}", path.display());
    }
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|stat| stat.filesystem_type() == BPF_FS)
}

fn make(dir: &Path) -> io::Result<Arc<File>> {
    fs::create_dir_all(dir)?;
    Ok(Arc::new(File::open(dir)?))
}

/// The process whose mount namespace outlives ours.
struct Home {
    process: u32,
    namespace: Arc<File>,
}

impl Home {
    /// The oldest process that lets us in; at least ourselves.
    fn find() -> io::Result<Self> {
        let mut processes: Vec<u32> = fs::read_dir("/proc")?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        processes.sort_unstable();
        processes
            .into_iter()
            .find_map(|process| {
                let namespace = File::open(format!("/proc/{process}/ns/mnt")).ok()?;
                Some(Self { process, namespace: Arc::new(namespace) })
            })
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no mount namespace is in reach"))
    }

    /// The directory of the agent in `run_dir`, where a BPF file system is mounted in the usual place.
    fn usual(&self, run_dir: &Path) -> Option<PathBuf> {
        let places = [PathBuf::from(USUAL), self.sees(Path::new(USUAL))];
        let usual = places.into_iter().find(|path| is_bpffs(path))?;
        // One directory per agent: several may run on a machine, each in a network namespace of its own. A BPF file system
        // takes no dots in names.
        let name = run_dir.to_string_lossy().trim_matches('/').replace(['/', '.'], "_");
        Some(usual.join("xbeat").join(name))
    }

    /// How we reach what it sees at `path`.
    fn sees(&self, path: &Path) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.process)).join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Does `act` in a mount namespace, from a thread of its own.
fn inside(namespace: &Arc<File>, act: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let namespace = Arc::clone(namespace);
    let act = move || {
        // A thread that shares its root and working directory may not change its mount namespace.
        unshare(CloneFlags::CLONE_FS)?;
        setns(namespace.as_ref(), CloneFlags::CLONE_NEWNS)?;
        act()
    };
    let thread = std::thread::Builder::new().name("xbeat-mount".into()).spawn(act)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread ended early")))
}
