//! From a socket to a request: accepts connections, does the TLS handshake, and serves HTTP/1.1 on what comes out.
//!
//! Whatever is wrong with one connection ends that connection only. This is also the place for faults below HTTP
//! (connections refused, reset or silent, bodies cut short): they need the bare socket.

use std::future::poll_fn;
use std::io;
use std::net;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::faults::gate::{Entrance, Orders};
use crate::faults::raw::{self, Wire};
use crate::faults::{Fault, Kind, content};
use crate::http::{self, Shared};

/// Accepts for ever.
pub(crate) async fn run(
    listener: net::TcpListener,
    orders: Orders,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let mut entrance = Entrance::new(listener, orders).expect("a listener made for this runtime");
    let router = http::router(&shared);
    loop {
        // An error is the peer's, who went away before the accept, or a passing lack of file descriptors.
        let Ok(socket) = entrance.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        shared.count_connection();
        let connection = Connection { acceptor: acceptor.clone(), router: router.clone(), shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            // A broken connection is the client's business; the requests it carried are recorded.
            let _ = connection.serve(socket).await;
        });
    }
}

/// Accepts for ever on the port for the handles of tests: no TLS, no faults, nothing but `/sandbox/…`.
pub(crate) async fn run_control(listener: net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener made for this runtime");
    let router = http::control_router(&shared);
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let connection = Connection { acceptor: None, router: router.clone(), shared: Arc::clone(&shared) };
        tokio::spawn(async move { connection.speak_http(socket).await });
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    router: axum::Router,
    shared: Arc<Shared>,
}

/// A fault that takes the connection out of hyper's hands, and the answer it is to spoil.
struct TakeOver {
    fault: Fault,
    answer: Response<Bytes>,
}

impl Connection {
    async fn serve(self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        if let Some(fault) = self.shared.faults.take(&[Kind::Connection, Kind::Handshake]) {
            return raw::spoil_connection(socket, fault).await;
        }
        match &self.acceptor {
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await?;
                self.speak_http(stream).await
            }
            None => self.speak_http(socket).await,
        }
    }

    async fn speak_http<W: Wire + 'static>(self, mut wire: W) -> io::Result<()> {
        loop {
            let taken_over = Arc::new(Mutex::new(None));
            let service = service_fn(|request| Box::pin(self.answer(request, &taken_over)));
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(wire), service);
            let served = poll_fn(|context| connection.poll_without_shutdown(context)).await;
            let rest = connection.into_parts().io.into_inner();
            let order = taken_over.lock().expect("no panic here").take();
            let Some(TakeOver { fault, answer }) = order else {
                return end(rest, served).await;
            };
            match raw::spoil_answer(rest, fault, &answer).await? {
                Some(open) => wire = open,
                None => return Ok(()),
            }
        }
    }

    /// Answers a request, or leaves its answer with the fault that is to spoil it.
    async fn answer(
        &self,
        request: Request<Incoming>,
        taken_over: &Mutex<Option<TakeOver>>,
    ) -> Result<Response<Body>, &'static str> {
        let (router, shared) = (self.router.clone(), Arc::clone(&self.shared));
        let fault = if http::is_control(&request) { None } else { shared.faults.take(&REQUEST) };
        let Some(fault) = fault else {
            return Ok(http::answer(router, shared, request).await);
        };
        if fault.kind() == Kind::Instead {
            let answer = content::instead(fault, &http::record(&shared, request).await);
            return Ok(answer.map(Body::from));
        }
        let (head, body) = http::answer(router, shared, request).await.into_parts();
        let body = body.collect().await.expect("all of the sandbox's own bodies are in memory").to_bytes();
        let answer = Response::from_parts(head, body);
        if fault.kind() == Kind::Edit {
            return Ok(content::edit(fault, answer).map(Body::from));
        }
        *taken_over.lock().expect("no panic here") = Some(TakeOver { fault, answer });
        // hyper writes nothing for a service that fails, and gives the connection back.
        Err("a fault takes over")
    }
}

/// The kinds of fault that wait for a request.
const REQUEST: [Kind; 4] = [Kind::Answer, Kind::Edit, Kind::Instead, Kind::Kept];

async fn end(mut wire: impl Wire, served: Result<(), hyper::Error>) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    wire.shutdown().await?;
    served.map_err(io::Error::other)
}
