//! The listening socket, which a fault can close or fill up. The sandbox keeps its port all the time.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// State of the listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// The system refuses connections.
    Closed,
    /// The queue of connections is full, so the system ignores connection attempts.
    Full,
}

type Done = Box<dyn FnOnce() + Send>;

/// Changes the state of a [`Listener`].
#[derive(Clone)]
pub(crate) struct StateSender(UnboundedSender<(State, Done)>);

/// Receives the state changes of a [`Listener`].
pub(crate) struct StateReceiver(UnboundedReceiver<(State, Done)>);

pub(crate) fn state_channel() -> (StateSender, StateReceiver) {
    let (sender, receiver) = unbounded_channel();
    (StateSender(sender), StateReceiver(receiver))
}

impl StateSender {
    /// Requests a state. The listener calls `done` when it has that state.
    pub(crate) fn set(&self, state: State, done: impl FnOnce() + Send + 'static) {
        // If the listener is gone, `done` is dropped, and its channel tells the caller.
        let _ = self.0.send((state, Box::new(done)));
    }
}

enum Socket {
    Open(TcpListener),
    /// Bound, but not listening.
    Closed {
        _bound: TcpSocket,
    },
    /// Listening. The sandbox's own connections fill the queue.
    Full {
        _listener: TcpListener,
        _queued: Vec<TcpStream>,
    },
}

enum Event {
    StateChange(State, Done),
    Accepted(io::Result<(TcpStream, SocketAddr)>),
}

/// Accepts connections, and changes its state on request.
pub(crate) struct Listener {
    address: SocketAddr,
    socket: Option<Socket>,
    changes: StateReceiver,
}

impl Listener {
    pub(crate) fn new(listener: net::TcpListener, changes: StateReceiver) -> io::Result<Listener> {
        let address = listener.local_addr()?;
        Ok(Listener { address, socket: Some(Socket::Open(TcpListener::from_std(listener)?)), changes })
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let event = poll_fn(|context| {
                // State changes first, because a caller waits for each of them.
                if let Poll::Ready(Some((state, done))) = self.changes.0.poll_recv(context) {
                    return Poll::Ready(Event::StateChange(state, done));
                }
                match &self.socket {
                    Some(Socket::Open(listener)) => listener.poll_accept(context).map(Event::Accepted),
                    _ => Poll::Pending,
                }
            });
            match event.await {
                Event::StateChange(state, done) => {
                    self.enter(state).await?;
                    done();
                }
                Event::Accepted(accepted) => return accepted.map(|(socket, _)| socket),
            }
        }
    }

    async fn enter(&mut self, state: State) -> io::Result<()> {
        if matches!((&self.socket, state), (Some(Socket::Open(_)), State::Open)) {
            return Ok(());
        }
        // This resets the connections in the queue.
        self.socket = None;
        let socket = TcpSocket::new_v4()?;
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.socket = Some(match state {
            State::Open => Socket::Open(socket.listen(1024)?),
            State::Closed => Socket::Closed { _bound: socket },
            State::Full => {
                let listener = socket.listen(1)?;
                let mut queued = Vec::new();
                // The queue is full when a connection is not made at once.
                while let Ok(Ok(made)) = timeout(Duration::from_millis(50), TcpStream::connect(self.address)).await {
                    queued.push(made);
                }
                Socket::Full { _listener: listener, _queued: queued }
            }
        });
        Ok(())
    }
}
