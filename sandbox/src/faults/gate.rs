//! The listening socket, which a fault can close or fill up. The port stays the sandbox's all the time.

use std::future::poll_fn;
use std::io;
use std::net::{self, SocketAddr};
use std::task::Poll;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// What the listening socket does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// Connections are refused.
    Closed,
    /// Connection attempts get no answer.
    Full,
}

type Done = Box<dyn FnOnce() + Send>;

/// Where to ask for another state.
#[derive(Clone)]
pub(crate) struct Gate(UnboundedSender<(State, Done)>);

/// Who does it: the accept loop.
pub(crate) struct Orders(UnboundedReceiver<(State, Done)>);

pub(crate) fn gate() -> (Gate, Orders) {
    let (sender, receiver) = unbounded_channel();
    (Gate(sender), Orders(receiver))
}

impl Gate {
    /// Asks for a state; `done` is called when it is there.
    pub(crate) fn set(&self, state: State, done: impl FnOnce() + Send + 'static) {
        // Where nobody accepts any more, `done` is dropped, and who waits for it finds that out.
        let _ = self.0.send((state, Box::new(done)));
    }
}

/// The socket in its present state.
enum Door {
    Open(TcpListener),
    /// Bound, not listening.
    Closed {
        _bound: TcpSocket,
    },
    /// Listening; connections of our own fill the queue of those that wait to be accepted.
    Full {
        _listener: TcpListener,
        _waiting: Vec<TcpStream>,
    },
}

enum Event {
    Order(State, Done),
    Accepted(io::Result<(TcpStream, SocketAddr)>),
}

/// The listener with its orders.
pub(crate) struct Entrance {
    address: SocketAddr,
    door: Option<Door>,
    orders: Orders,
}

impl Entrance {
    pub(crate) fn new(listener: net::TcpListener, orders: Orders) -> io::Result<Entrance> {
        let address = listener.local_addr()?;
        Ok(Entrance { address, door: Some(Door::Open(TcpListener::from_std(listener)?)), orders })
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self) -> io::Result<TcpStream> {
        loop {
            let event = poll_fn(|context| {
                // Orders first: whoever gave one waits for it.
                if let Poll::Ready(Some((state, done))) = self.orders.0.poll_recv(context) {
                    return Poll::Ready(Event::Order(state, done));
                }
                match &self.door {
                    Some(Door::Open(listener)) => listener.poll_accept(context).map(Event::Accepted),
                    _ => Poll::Pending,
                }
            });
            match event.await {
                Event::Order(state, done) => {
                    self.become_(state).await?;
                    done();
                }
                Event::Accepted(accepted) => return accepted.map(|(socket, _)| socket),
            }
        }
    }

    async fn become_(&mut self, state: State) -> io::Result<()> {
        if matches!((&self.door, state), (Some(Door::Open(_)), State::Open)) {
            return Ok(());
        }
        // What waits to be accepted is reset by this.
        self.door = None;
        let socket = TcpSocket::new_v4()?;
        #[cfg(not(windows))]
        socket.set_reuseaddr(true)?;
        socket.bind(self.address)?;
        self.door = Some(match state {
            State::Open => Door::Open(socket.listen(1024)?),
            State::Closed => Door::Closed { _bound: socket },
            State::Full => {
                let listener = socket.listen(1)?;
                let mut waiting = Vec::new();
                // One that is not made at once is one too many: the queue is full.
                while let Ok(Ok(made)) = timeout(Duration::from_millis(50), TcpStream::connect(self.address)).await {
                    waiting.push(made);
                }
                Door::Full { _listener: listener, _waiting: waiting }
            }
        });
        Ok(())
    }
}
