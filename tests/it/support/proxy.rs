//! Passes TCP connections on, and stops to do so when a test says: a network that is cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, sleep};
use std::time::Duration;

use crate::servers::free_port;

/// A commit, as fluxwatch sends it: a simple query.
const COMMIT: &[u8] = b"Q\0\0\0\x15select 1; commit\0";
/// How often a connection that is held looks whether it goes on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What is done with what arrives.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// It is passed on.
    Open,
    /// It is kept, as by a network that loses every packet; connections stay.
    Silent,
    /// Connections are ended, new ones too.
    Closed,
}

/// When a connection is ended at a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum AtCommit {
    /// Not at all.
    Pass,
    /// Before the server hears of it.
    Before,
    /// After the server was told, before its answer.
    After,
    /// The server never hears of it, and the connection stays.
    Hold,
    /// The server was told, and nothing that it answers arrives; the connection stays as long as the server.
    Mute,
}

/// What the threads share.
#[derive(Default)]
struct State {
    way: AtomicU8,
    at_commit: AtomicU8,
    /// How many commits are passed on before that.
    commits_before: AtomicU32,
    /// Connections that were ended at a commit.
    ended: AtomicU32,
    /// How many pieces of clients are passed on before the network is cut, and one more; 0: it is not.
    pieces_before: AtomicU32,
    stops: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

/// A port that passes on to another one.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

impl Proxy {
    /// Passes what comes to a new port on to a port of this machine.
    pub fn to(port: u16) -> Self {
        let own = free_port();
        let listener = TcpListener::bind(("127.0.0.1", own)).expect("the port is free");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.stops.load(Ordering::SeqCst) {
                    return;
                }
                if shared.way() == Way::Closed {
                    continue;
                }
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                    continue;
                };
                shared.join(&client, &server);
            }
        });
        Self { port: own, state }
    }

    /// Returns its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Says what is done from now on.
    pub fn go(&self, way: Way) {
        self.state.way.store(way as u8, Ordering::SeqCst);
        if way == Way::Closed {
            self.state.end_all();
        }
    }

    /// Ends the connection at the commit after so many.
    pub fn end_at_commit(&self, when: AtCommit, commits_before: u32) {
        let state = &self.state;
        state.commits_before.store(commits_before, Ordering::SeqCst);
        state.at_commit.store(when as u8, Ordering::SeqCst);
    }

    /// Ends every connection, and new ones, at what a client sends after so many pieces: a client that waits for each
    /// answer sends a piece a message.
    pub fn cut_after(&self, pieces: u32) {
        self.state.pieces_before.store(pieces + 1, Ordering::SeqCst);
    }

    /// Returns whether what [`Proxy::cut_after`] asked for was done. It is not done any more then.
    pub fn was_cut(&self) -> bool {
        self.state.pieces_before.swap(0, Ordering::SeqCst) == 0
    }

    /// Returns how many connections were ended at a commit.
    pub fn ended(&self) -> u32 {
        self.state.ended.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stops.store(true, Ordering::SeqCst);
        self.state.end_all();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    /// Returns what is done.
    fn way(&self) -> Way {
        match self.way.load(Ordering::SeqCst) {
            0 => Way::Open,
            1 => Way::Silent,
            _ => Way::Closed,
        }
    }

    /// Ends every connection.
    fn end_all(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Passes on between two connections until one ends.
    fn join(self: &Arc<Self>, client: &TcpStream, server: &TcpStream) {
        // Whether what the server answers is lost.
        let muted = Arc::new(AtomicBool::new(false));
        for (from, to, is_client) in [(client, server, true), (server, client, false)] {
            let own = |stream: &TcpStream| stream.try_clone().expect("a descriptor is free");
            let _ = from.set_nodelay(true);
            let (mut from, mut to) = (own(from), own(to));
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.push(own(&from));
            drop(open);
            let (state, muted) = (Arc::clone(self), Arc::clone(&muted));
            thread::spawn(move || {
                let muted = (is_client, &*muted);
                state.pass_on(&mut from, &mut to, muted);
                let _ = from.shutdown(Shutdown::Both);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
    }

    /// Passes on in one direction.
    fn pass_on(
        &self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        (is_client, muted): (bool, &AtomicBool),
    ) {
        let mut octets = vec![0; 65_536];
        loop {
            let count = match from.read(&mut octets) {
                Ok(0) | Err(_) => return,
                Ok(count) => count,
            };
            while self.way() == Way::Silent {
                sleep(LOOK_EVERY);
            }
            // What a network has lost does not arrive when it ends.
            if self.way() == Way::Closed {
                return;
            }
            if is_client && self.is_last_piece() {
                self.way.store(Way::Closed as u8, Ordering::SeqCst);
                self.end_all();
                return;
            }
            let piece = &octets[..count];
            if !is_client && muted.load(Ordering::SeqCst) {
                continue;
            }
            let is_commit = is_client && piece.ends_with(COMMIT);
            let when = match is_commit {
                true => self.next_commit(),
                false => AtCommit::Pass,
            };
            if when == AtCommit::Hold {
                while !self.stops.load(Ordering::SeqCst) {
                    sleep(LOOK_EVERY);
                }
                return;
            }
            if matches!(when, AtCommit::After | AtCommit::Mute) {
                muted.store(true, Ordering::SeqCst);
            }
            if when == AtCommit::Before || to.write_all(piece).is_err() {
                return;
            }
            if when == AtCommit::After {
                // The server has it, and is given the time to do it.
                sleep(Duration::from_millis(300));
                return;
            }
        }
    }

    /// Counts a piece of a client. Returns whether the network is cut at it.
    fn is_last_piece(&self) -> bool {
        let count = |left: u32| left.checked_sub(1);
        let before = self
            .pieces_before
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, count);
        before == Ok(1)
    }

    /// Returns what is done at this commit.
    fn next_commit(&self) -> AtCommit {
        let when = match self.at_commit.load(Ordering::SeqCst) {
            1 => AtCommit::Before,
            2 => AtCommit::After,
            3 => AtCommit::Hold,
            4 => AtCommit::Mute,
            _ => return AtCommit::Pass,
        };
        let before = self.commits_before.load(Ordering::SeqCst);
        if before > 0 {
            self.commits_before.store(before - 1, Ordering::SeqCst);
            return AtCommit::Pass;
        }
        self.at_commit.store(0, Ordering::SeqCst);
        self.ended.fetch_add(1, Ordering::SeqCst);
        when
    }
}
