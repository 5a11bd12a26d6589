//! From a socket to a request: accepts connections, does the TLS handshake, and serves HTTP/1.1.
//!
//! An error of one connection ends that connection only. This file also starts the faults below HTTP, which need the
//! socket: connections that are refused, reset or silent, and bodies that are cut short.

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

use crate::faults::listener::{Listener, StateReceiver};
use crate::faults::raw::{self, Stream};
use crate::faults::{Fault, Kind, content};
use crate::http::{self, Shared};

/// Accepts connections until the sandbox ends.
pub(crate) async fn run(
    listener: net::TcpListener,
    changes: StateReceiver,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
) {
    let mut listener = Listener::new(listener, changes).expect("a listener made for this runtime");
    let router = http::router(&shared);
    loop {
        // An error here passes: the client left before the accept, or file descriptors are short.
        let Ok(socket) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        shared.count_connection();
        let connection = Connection { acceptor: acceptor.clone(), router: router.clone(), shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            // The client sees a broken connection itself, and its requests are recorded.
            let _ = connection.serve(socket).await;
        });
    }
}

/// Accepts connections on the port of the control API, which has neither TLS nor faults.
pub(crate) async fn run_control(listener: net::TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener made for this runtime");
    let router = http::control_router(&shared);
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let connection = Connection { acceptor: None, router: router.clone(), shared: Arc::clone(&shared) };
        tokio::spawn(async move { connection.serve_http(socket).await });
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    router: axum::Router,
    shared: Arc<Shared>,
}

/// A fault that hyper cannot produce, and the response that it is to break.
struct RawFault {
    fault: Fault,
    response: Response<Bytes>,
}

impl Connection {
    async fn serve(self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        if let Some(fault) = self.shared.faults.take(&[Kind::Connection, Kind::Handshake]) {
            return raw::break_connection(socket, fault).await;
        }
        match &self.acceptor {
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await?;
                self.serve_http(stream).await
            }
            None => self.serve_http(socket).await,
        }
    }

    async fn serve_http<S: Stream + 'static>(self, mut stream: S) -> io::Result<()> {
        loop {
            let raw_fault = Arc::new(Mutex::new(None));
            let service = service_fn(|request| Box::pin(self.respond(request, &raw_fault)));
            let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let served = poll_fn(|context| connection.poll_without_shutdown(context)).await;
            let rest = connection.into_parts().io.into_inner();
            let found = raw_fault.lock().expect("no panic here").take();
            let Some(RawFault { fault, response }) = found else {
                return end(rest, served).await;
            };
            match raw::break_response(rest, fault, &response).await? {
                Some(open) => stream = open,
                None => return Ok(()),
            }
        }
    }

    /// Responds to a request. If a fault needs the socket, puts it into `raw_fault` and fails.
    async fn respond(
        &self,
        request: Request<Incoming>,
        raw_fault: &Mutex<Option<RawFault>>,
    ) -> Result<Response<Body>, &'static str> {
        let (router, shared) = (self.router.clone(), Arc::clone(&self.shared));
        let fault = if http::is_control(&request) { None } else { shared.faults.take(&REQUEST) };
        let Some(fault) = fault else {
            return Ok(http::respond(router, shared, request).await);
        };
        if fault.kind() == Kind::Canned {
            let response = content::canned(fault, &http::record(&shared, request).await);
            return Ok(response.map(Body::from));
        }
        let (head, body) = http::respond(router, shared, request).await.into_parts();
        let body = body.collect().await.expect("all of the sandbox's own bodies are in memory").to_bytes();
        let response = Response::from_parts(head, body);
        if fault.kind() == Kind::Edit {
            return Ok(content::edit(fault, response).map(Body::from));
        }
        *raw_fault.lock().expect("no panic here") = Some(RawFault { fault, response });
        // If its service fails, hyper writes nothing and gives the connection back.
        Err("a fault needs the socket")
    }
}

/// The kinds of fault that happen to a request.
const REQUEST: [Kind; 4] = [Kind::Response, Kind::Edit, Kind::Canned, Kind::Idle];

async fn end(mut stream: impl Stream, served: Result<(), hyper::Error>) -> io::Result<()> {
    use tokio::io::AsyncWriteExt;
    stream.shutdown().await?;
    served.map_err(io::Error::other)
}
