//! TCP connections to the virtual address, and datagrams from it, with which the node talks all the time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tests::lan::{CLIENT, Lan, VIP};

const PORT: u16 = 5001;

/// How often each connection is written to. Often enough for a stream, rare enough for a busy machine.
const TALK_EVERY: Duration = Duration::from_millis(5);

/// Open until dropped. Both ends are threads of the test, which no dying agent takes along.
pub struct Connections {
    stop: Arc<AtomicBool>,
    carried: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Connections {
    /// Opens `number` connections from the client to the address, which must be at `node` now.
    pub fn open(lan: &Lan, node: usize, number: usize) -> Result<Self> {
        let speaker = lan.node(node).run(|| UdpSocket::bind((VIP, PORT)))?.context("a datagram socket")?;
        let listener = lan.node(node).run(|| TcpListener::bind((VIP, PORT)))?.context("listening")?;
        let accepting = thread::spawn(move || -> std::io::Result<Vec<TcpStream>> {
            (0..number).map(|_| listener.accept().map(|(connection, _)| connection)).collect()
        });
        let connect = || (0..number).map(|_| TcpStream::connect((VIP, PORT))).collect::<Result<Vec<_>, _>>();
        let far = lan.client().run(connect)?.context("connecting")?;
        let near =
            accepting.join().map_err(|_| anyhow::anyhow!("accepting panicked"))?.context("accepting")?;
        let (stop, carried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        for connection in near.iter().chain(&far) {
            connection.set_nonblocking(true)?;
            connection.set_nodelay(true)?;
        }
        let stopped = stop.clone();
        let talking = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                // A full window is how a connection waits that gets no answers.
                near.iter().for_each(|mut connection| drop(connection.write(b"still here")));
                // And one that never waits.
                let _ = speaker.send_to(b"still here", (CLIENT, PORT));
                thread::sleep(TALK_EVERY);
            }
        });
        let (stopped, count) = (stop.clone(), carried.clone());
        let listening = thread::spawn(move || {
            while !stopped.load(Ordering::Acquire) {
                far.iter().for_each(|connection| hear(connection, &count));
                thread::sleep(TALK_EVERY);
            }
        });
        Ok(Self { stop, carried, threads: vec![talking, listening] })
    }

    /// How often something came in at the client.
    pub fn carried(&self) -> u64 {
        self.carried.load(Ordering::Acquire)
    }
}

fn hear(mut connection: &TcpStream, count: &AtomicU64) {
    match connection.read(&mut [0; 4096]) {
        Ok(length) if length > 0 => drop(count.fetch_add(1, Ordering::AcqRel)),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        // Reset by the new owner, who does not know it.
        Err(_) => {}
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
