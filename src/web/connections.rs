//! How many connections there may be, and how long one may be silent.
//!
//! A service whose files are all taken up by strangers' connections can open no zone file and no database.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Accepts connections, and no more while there are as many as there may be: who comes then waits.
pub struct Places {
    listener: TcpListener,
    free: Arc<Semaphore>,
    silence_max: Duration,
}

impl Places {
    /// Lets `count` connections in at a time, and ends one over which nothing passes for `silence_max`.
    pub fn new(listener: TcpListener, count: usize, silence_max: Duration) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(count)),
            silence_max,
        }
    }
}

impl Listener for Places {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.free).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        // The end of an answer in parts would wait for the client to say that it has what came before (40 ms).
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            stream,
            silence_max: self.silence_max,
            silent_until: Box::pin(sleep(self.silence_max)),
            _place: place,
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that was let in.
pub struct Connection {
    stream: TcpStream,
    silence_max: Duration,
    silent_until: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    /// Passes on what the stream says; after too long a silence, that it is over.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        passed: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if passed.is_ready() {
            let until = Instant::now() + self.silence_max;
            self.silent_until.as_mut().reset(until);
            return passed;
        }
        match self.silent_until.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.watch(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use axum::Router;
    use axum::routing::get;
    use axum::serve::Listener;

    use super::Places;

    /// Asks for the page and returns what comes; `None` if nothing does in half a second.
    async fn ask(stream: &mut TcpStream) -> Option<String> {
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.ok()?;
        let mut answer = String::new();
        let read = timeout(
            Duration::from_millis(500),
            stream.read_to_string(&mut answer),
        );
        read.await.ok()?.ok()?;
        Some(answer)
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_waits_for_one() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let places = Places::new(listener, 2, Duration::from_secs(2));
        let router = Router::new().route("/", get(async || "here"));
        let server = tokio::spawn(async move { axum::serve(places, router).await });
        let connect = || async { TcpStream::connect(address).await.expect("it listens") };
        let (first, mut second) = (connect().await, connect().await);
        let mut third = connect().await;
        assert_eq!(ask(&mut third).await, None, "both places are taken");
        drop(first);
        let mut answer = String::new();
        third
            .read_to_string(&mut answer)
            .await
            .expect("it is answered");
        assert!(answer.ends_with("here"), "{answer}");
        // One that says nothing loses its place, so that there are two for those that come.
        let mut nothing = [0; 1];
        let ended = timeout(Duration::from_secs(10), second.read(&mut nothing)).await;
        assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
        let (mut fourth, mut fifth) = (connect().await, connect().await);
        assert!(ask(&mut fourth).await.is_some() && ask(&mut fifth).await.is_some());
        server.abort();
    }

    #[tokio::test]
    async fn parts_of_an_answer_do_not_wait_for_one_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut places = Places::new(listener, 1, Duration::from_secs(2));
        let _client = TcpStream::connect(address).await.expect("it listens");
        let (connection, _) = places.accept().await;
        assert!(connection.stream.nodelay().expect("the system says so"));
    }
}
