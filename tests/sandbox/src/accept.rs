//! From a socket to a request: accepts connections, does the TLS handshake, and serves HTTP/1.1 on what comes out.
//!
//! Whatever is wrong with one connection ends that connection only. This is also the place for faults below HTTP
//! (connections refused, reset or silent, bodies cut short): they need the bare socket.

use std::convert::Infallible;
use std::io;
use std::net;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::http::{self, Shared};

/// Accepts for ever.
pub(crate) async fn run(listener: net::TcpListener, acceptor: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let router = http::router(&shared);
    let listener = TcpListener::from_std(listener).expect("a listener made for this runtime");
    loop {
        // An error is the peer's, who went away before the accept, or a passing lack of file descriptors.
        let Ok((socket, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let connection = Connection { acceptor: acceptor.clone(), router: router.clone(), shared: Arc::clone(&shared) };
        tokio::spawn(async move {
            // A broken connection is the client's business; the requests it carried are recorded.
            let _ = connection.serve(socket).await;
        });
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    router: axum::Router,
    shared: Arc<Shared>,
}

impl Connection {
    async fn serve(self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        match &self.acceptor {
            Some(acceptor) => {
                let stream = acceptor.accept(socket).await?;
                self.speak_http(stream).await
            }
            None => self.speak_http(socket).await,
        }
    }

    async fn speak_http(self, stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
        let service = service_fn(|request| {
            let answer = http::answer(self.router.clone(), Arc::clone(&self.shared), request);
            async { Ok::<_, Infallible>(answer.await) }
        });
        http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.map_err(io::Error::other)
    }
}
