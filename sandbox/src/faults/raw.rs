//! Faults on the bytes of a connection, which a correct HTTP server cannot produce.
//!
//! `accept` passes a connection to this module, with the response to its request.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Response, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::fault::Fault;

/// A connection, with access to its TCP socket.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;

    /// Sends close_notify of TLS. TCP stays open.
    async fn close_notify(&mut self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    async fn close_notify(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    async fn close_notify(&mut self) -> io::Result<()> {
        self.get_mut().1.send_close_notify();
        self.flush().await
    }
}

/// Does a fault on a new connection, before TLS and HTTP.
pub(crate) async fn break_connection(mut socket: TcpStream, fault: Fault) -> io::Result<()> {
    if fault == Fault::Close {
        // A FIN. Closing the socket with an unread request would send a reset.
        socket.shutdown().await?;
        return keep_open(socket).await;
    }
    // The TLS ClientHello. Closing the socket with unread data would send a reset.
    let _ = socket.read(&mut [0; 16 * 1024]).await?;
    match fault {
        Fault::ResetInHandshake => socket.set_zero_linger(),
        Fault::PlainInHandshake => {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await?;
            socket.shutdown().await?;
            keep_open(socket).await
        }
        Fault::SilenceInHandshake => keep_open(socket).await,
        _ => Ok(()),
    }
}

/// Does a fault in a response, or on the connection after it. Returns the connection if it stays in use.
pub(crate) async fn break_response<W: Stream>(
    mut stream: W,
    fault: Fault,
    response: &Response<Bytes>,
) -> io::Result<Option<W>> {
    // A response without a body, such as that of a logout, gets a body to break.
    let body: &[u8] = if response.body().is_empty() { br#"{"nothing":"to be said"}"# } else { response.body() };
    let right_length = format!("Content-Length: {}\r\n", body.len());
    let head = |framing: &str| head_of("HTTP/1.1", response, framing);
    let half = &body[..body.len() / 2];
    let good = [head(&right_length).as_bytes(), body].concat();
    let (status_line, other_lines) = head(&right_length).split_once("\r\n").map_or_else(Default::default, owned_pair);

    match fault {
        Fault::CloseBeforeHead => return Ok(None),
        Fault::ResetBeforeHead => return reset(&stream).map(|()| None),
        Fault::ResetInHead | Fault::CutHead | Fault::SilenceInHead => {
            stream.write_all(format!("{status_line}\r\nContent-Ty").as_bytes()).await?;
        }
        Fault::ResetAfterHead => stream.write_all(head(&right_length).as_bytes()).await?,
        Fault::CutBody | Fault::SilenceInBody => {
            stream.write_all(&[head(&right_length).as_bytes(), half].concat()).await?;
        }
        Fault::CutChunk => {
            let size = format!("{:x}\r\n", body.len());
            stream.write_all(&[head(CHUNKED).as_bytes(), size.as_bytes(), half].concat()).await?;
        }
        Fault::SilenceBeforeHead => {}
        Fault::ByteByByte | Fault::Drip => {
            for byte in &good {
                stream.write_all(&[*byte]).await?;
                stream.flush().await?;
                if fault == Fault::Drip {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Fault::LengthTooLong => {
            let length = format!("Content-Length: {}\r\n", body.len() + 100);
            stream.write_all(&[head(&length).as_bytes(), body].concat()).await?;
        }
        Fault::LengthTooShort => {
            let length = format!("Content-Length: {}\r\n", half.len());
            stream.write_all(&[head(&length).as_bytes(), body].concat()).await?;
        }
        Fault::LengthNonsense => {
            stream.write_all(&[head("Content-Length: banana\r\n").as_bytes(), body].concat()).await?;
        }
        Fault::LengthNegative => {
            stream.write_all(&[head("Content-Length: -1\r\n").as_bytes(), body].concat()).await?;
        }
        Fault::LengthsDiffer => {
            let lengths = format!("{right_length}Content-Length: 5\r\n");
            stream.write_all(&[head(&lengths).as_bytes(), body].concat()).await?;
        }
        Fault::NoLength => {
            stream.write_all(&[head("Connection: close\r\n").as_bytes(), body].concat()).await?;
            // This sends close_notify. Without it, a TLS client would take the body for truncated.
            stream.shutdown().await?;
        }
        Fault::Chunked => {
            let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            let chunks = [chunk(half), chunk(&body[half.len()..]), b"0\r\n\r\n".to_vec()].concat();
            stream.write_all(&[head(CHUNKED).as_bytes(), &chunks].concat()).await?;
        }
        Fault::ChunkNonsense => {
            stream.write_all(&[head(CHUNKED).as_bytes(), b"banana\r\n", body, b"\r\n0\r\n\r\n"].concat()).await?;
        }
        Fault::ChunkTooLarge => {
            stream.write_all(&[head(CHUNKED).as_bytes(), b"fffffffffffffffffff\r\n", body].concat()).await?;
        }
        Fault::EndlessBody => {
            stream.write_all(head("Connection: close\r\n").as_bytes()).await?;
            return write_endlessly(stream, &[b' '; 4096]).await.map(|()| None);
        }
        Fault::EndlessChunks => {
            stream.write_all(head(CHUNKED).as_bytes()).await?;
            return write_endlessly(stream, b"10\r\n                \r\n").await.map(|()| None);
        }
        Fault::EndlessHead => {
            stream.write_all(format!("{status_line}\r\n").as_bytes()).await?;
            return write_endlessly(stream, b"X-More: and more\r\n").await.map(|()| None);
        }
        Fault::HugeHead => {
            let lines = "X-More: and more\r\n".repeat(2_000_000 / 18);
            stream.write_all(format!("{status_line}\r\n{lines}{other_lines}").as_bytes()).await?;
            stream.write_all(body).await?;
        }
        Fault::HugeHeader => {
            let value = "x".repeat(2_000_000);
            stream.write_all(format!("{status_line}\r\nX-More: {value}\r\n{other_lines}").as_bytes()).await?;
            stream.write_all(body).await?;
        }
        Fault::Gzip => {
            let packed = gzip(body);
            let lines = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
            stream.write_all(&[head(&lines).as_bytes(), &packed].concat()).await?;
        }
        Fault::NotHttp => stream.write_all(b"220 mail.example.com ESMTP\r\n").await?,
        Fault::NulInHead => {
            let lines = format!("X-Nul: a\0b\r\n{right_length}");
            stream.write_all(&[head(&lines).as_bytes(), body].concat()).await?;
        }
        Fault::BareLf => {
            stream.write_all(&[head(&right_length).replace("\r\n", "\n").as_bytes(), body].concat()).await?;
        }
        Fault::Http10 => {
            stream.write_all(&[head_of("HTTP/1.0", response, &right_length).as_bytes(), body].concat()).await?;
            stream.shutdown().await?;
        }
        Fault::Continue => stream.write_all(&[b"HTTP/1.1 100 Continue\r\n\r\n", &good[..]].concat()).await?,
        Fault::EarlyHints => {
            let first = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            stream.write_all(&[first, &good[..]].concat()).await?;
        }
        Fault::SwitchingProtocols => {
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            stream.write_all(switch).await?;
        }
        _ => {
            // Faults of the idle connection: the response is good.
            let length = format!("Content-Length: {}\r\n", response.body().len());
            let mut bytes = [head(&length).as_bytes(), response.body()].concat();
            if fault == Fault::TwoAnswers {
                let stale = r#"{"access_token":"somebody-else's","token_type":"bearer","expires_in":43199}"#;
                bytes.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{stale}", stale.len()).bytes());
            }
            stream.write_all(&bytes).await?;
        }
    }
    stream.flush().await?;

    match fault {
        // The server can continue after these.
        Fault::ByteByByte | Fault::Chunked | Fault::LengthTooShort | Fault::Gzip | Fault::BareLf => {
            return Ok(Some(stream));
        }
        Fault::Continue | Fault::EarlyHints | Fault::TwoAnswers => return Ok(Some(stream)),
        Fault::CutHead | Fault::CutBody | Fault::CutChunk | Fault::LengthTooLong => {}
        Fault::ResetInHead | Fault::ResetAfterHead | Fault::ResetIdle => reset(&stream)?,
        Fault::CloseIdle => stream.shutdown().await?,
        Fault::CloseNotifyIdle => {
            stream.close_notify().await?;
            // This reads from TCP, because reading from TLS would respond to the client's close_notify with a FIN.
            while stream.tcp().ready(tokio::io::Interest::READABLE).await.is_ok() {
                match stream.tcp().try_read(&mut [0; 1024]) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        }
        Fault::TimeoutIdle => {
            let unrequested = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(unrequested).await?;
            stream.shutdown().await?;
        }
        Fault::CloseNext | Fault::ResetNext => {
            let _ = stream.read(&mut [0; 64 * 1024]).await?;
            if fault == Fault::ResetNext {
                reset(&stream)?;
            }
        }
        _ => keep_open(stream).await?,
    }
    Ok(None)
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn owned_pair((first, rest): (&str, &str)) -> (String, String) {
    (first.to_owned(), rest.to_owned())
}

/// The head of a response: its headers, and `framing` for the length of its body.
fn head_of(version: &str, response: &Response<Bytes>, framing: &str) -> String {
    let status = response.status();
    let mut head = format!("{version} {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Unknown"));
    for (name, value) in without_length(response.headers()) {
        head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    head + framing + "\r\n"
}

fn without_length(headers: &HeaderMap) -> impl Iterator<Item = (&header::HeaderName, &header::HeaderValue)> {
    headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH)
}

/// Makes the close of the connection send a reset.
fn reset(stream: &impl Stream) -> io::Result<()> {
    stream.tcp().set_zero_linger()
}

/// Keeps the connection open until the client closes it.
async fn keep_open(mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(drop)
}

/// Writes until the client closes the connection.
async fn write_endlessly(mut stream: impl Stream, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(16 * 1024 / bytes.len() + 1);
    loop {
        stream.write_all(&many).await?;
    }
}

/// A valid gzip file without compression (RFC 1952, RFC 1951 section 3.2.4).
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a body of some hundred bytes");
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    packed.extend(length.to_le_bytes());
    packed.extend((!length).to_le_bytes());
    packed.extend(bytes);
    packed.extend(crc32(bytes).to_le_bytes());
    packed.extend(u32::from(length).to_le_bytes());
    packed
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_one_of_gzip() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
