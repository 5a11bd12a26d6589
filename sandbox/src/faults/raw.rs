//! Faults on the bare connection: what a well-behaved HTTP server cannot be made to write.
//!
//! `accept` hands a connection over here, with the answer that its request was given.

use std::io;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Response, header};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::fault::Fault;

/// A connection that lets one do more than read and write.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    fn tcp(&self) -> &TcpStream;

    /// TLS says that it is done; TCP stays open.
    async fn close_notify(&mut self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    async fn close_notify(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    async fn close_notify(&mut self) -> io::Result<()> {
        self.get_mut().1.send_close_notify();
        self.flush().await
    }
}

/// A fault on a connection that was just made: before HTTP, and before TLS.
pub(crate) async fn spoil_connection(mut socket: TcpStream, fault: Fault) -> io::Result<()> {
    if fault == Fault::Close {
        // A FIN, also where the request has come already, which would make it a reset.
        socket.shutdown().await?;
        return hold(socket).await;
    }
    // The hello of TLS. Whatever is left unread would make a reset of every close.
    let _ = socket.read(&mut [0; 16 * 1024]).await?;
    match fault {
        Fault::ResetInHandshake => socket.set_zero_linger(),
        Fault::PlainInHandshake => {
            socket.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await?;
            socket.shutdown().await?;
            hold(socket).await
        }
        Fault::SilenceInHandshake => hold(socket).await,
        _ => Ok(()),
    }
}

/// A fault in an answer, or on the connection after it. Gives the connection back where it goes on.
pub(crate) async fn spoil_answer<W: Wire>(
    mut wire: W,
    fault: Fault,
    answer: &Response<Bytes>,
) -> io::Result<Option<W>> {
    // Where the answer has no body, as a logout's, there must be one to spoil.
    let body: &[u8] = if answer.body().is_empty() { br#"{"nothing":"to be said"}"# } else { answer.body() };
    let right_length = format!("Content-Length: {}\r\n", body.len());
    let head = |framing: &str| head_of("HTTP/1.1", answer, framing);
    let half = &body[..body.len() / 2];
    let good = [head(&right_length).as_bytes(), body].concat();
    let (status_line, other_lines) = head(&right_length).split_once("\r\n").map_or_else(Default::default, own);

    match fault {
        Fault::CloseBeforeHead => return Ok(None),
        Fault::ResetBeforeHead => return reset(&wire).map(|()| None),
        Fault::ResetInHead | Fault::CutHead | Fault::SilenceInHead => {
            wire.write_all(format!("{status_line}\r\nContent-Ty").as_bytes()).await?;
        }
        Fault::ResetAfterHead => wire.write_all(head(&right_length).as_bytes()).await?,
        Fault::CutBody | Fault::SilenceInBody => {
            wire.write_all(&[head(&right_length).as_bytes(), half].concat()).await?;
        }
        Fault::CutChunk => {
            let size = format!("{:x}\r\n", body.len());
            wire.write_all(&[head(CHUNKED).as_bytes(), size.as_bytes(), half].concat()).await?;
        }
        Fault::SilenceBeforeHead => {}
        Fault::ByteByByte | Fault::Drip => {
            for byte in &good {
                wire.write_all(&[*byte]).await?;
                wire.flush().await?;
                if fault == Fault::Drip {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        Fault::LengthTooLong => {
            let length = format!("Content-Length: {}\r\n", body.len() + 100);
            wire.write_all(&[head(&length).as_bytes(), body].concat()).await?;
        }
        Fault::LengthTooShort => {
            let length = format!("Content-Length: {}\r\n", half.len());
            wire.write_all(&[head(&length).as_bytes(), body].concat()).await?;
        }
        Fault::LengthNonsense => {
            wire.write_all(&[head("Content-Length: banana\r\n").as_bytes(), body].concat()).await?;
        }
        Fault::LengthNegative => {
            wire.write_all(&[head("Content-Length: -1\r\n").as_bytes(), body].concat()).await?;
        }
        Fault::LengthsDiffer => {
            let lengths = format!("{right_length}Content-Length: 5\r\n");
            wire.write_all(&[head(&lengths).as_bytes(), body].concat()).await?;
        }
        Fault::NoLength => {
            wire.write_all(&[head("Connection: close\r\n").as_bytes(), body].concat()).await?;
            // The polite end: without TLS' close_notify this body would be one that was cut.
            wire.shutdown().await?;
        }
        Fault::Chunked => {
            let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
            let chunks = [chunk(half), chunk(&body[half.len()..]), b"0\r\n\r\n".to_vec()].concat();
            wire.write_all(&[head(CHUNKED).as_bytes(), &chunks].concat()).await?;
        }
        Fault::ChunkNonsense => {
            wire.write_all(&[head(CHUNKED).as_bytes(), b"banana\r\n", body, b"\r\n0\r\n\r\n"].concat()).await?;
        }
        Fault::ChunkTooLarge => {
            wire.write_all(&[head(CHUNKED).as_bytes(), b"fffffffffffffffffff\r\n", body].concat()).await?;
        }
        Fault::EndlessBody => {
            wire.write_all(head("Connection: close\r\n").as_bytes()).await?;
            return for_ever(wire, &[b' '; 4096]).await.map(|()| None);
        }
        Fault::EndlessChunks => {
            wire.write_all(head(CHUNKED).as_bytes()).await?;
            return for_ever(wire, b"10\r\n                \r\n").await.map(|()| None);
        }
        Fault::EndlessHead => {
            wire.write_all(format!("{status_line}\r\n").as_bytes()).await?;
            return for_ever(wire, b"X-More: and more\r\n").await.map(|()| None);
        }
        Fault::HugeHead => {
            let lines = "X-More: and more\r\n".repeat(2_000_000 / 18);
            wire.write_all(format!("{status_line}\r\n{lines}{other_lines}").as_bytes()).await?;
            wire.write_all(body).await?;
        }
        Fault::HugeHeader => {
            let value = "x".repeat(2_000_000);
            wire.write_all(format!("{status_line}\r\nX-More: {value}\r\n{other_lines}").as_bytes()).await?;
            wire.write_all(body).await?;
        }
        Fault::Gzip => {
            let packed = gzip(body);
            let lines = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", packed.len());
            wire.write_all(&[head(&lines).as_bytes(), &packed].concat()).await?;
        }
        Fault::NotHttp => wire.write_all(b"220 mail.example.com ESMTP\r\n").await?,
        Fault::NulInHead => {
            let lines = format!("X-Nul: a\0b\r\n{right_length}");
            wire.write_all(&[head(&lines).as_bytes(), body].concat()).await?;
        }
        Fault::BareLf => {
            wire.write_all(&[head(&right_length).replace("\r\n", "\n").as_bytes(), body].concat()).await?;
        }
        Fault::Http10 => {
            wire.write_all(&[head_of("HTTP/1.0", answer, &right_length).as_bytes(), body].concat()).await?;
            wire.shutdown().await?;
        }
        Fault::Continue => wire.write_all(&[b"HTTP/1.1 100 Continue\r\n\r\n", &good[..]].concat()).await?,
        Fault::EarlyHints => {
            let first = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
            wire.write_all(&[first, &good[..]].concat()).await?;
        }
        Fault::SwitchingProtocols => {
            let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
            wire.write_all(switch).await?;
        }
        _ => {
            // The kept connection: first the answer as it is.
            let length = format!("Content-Length: {}\r\n", answer.body().len());
            let mut bytes = [head(&length).as_bytes(), answer.body()].concat();
            if fault == Fault::TwoAnswers {
                let stale = r#"{"access_token":"somebody-else's","token_type":"bearer","expires_in":43199}"#;
                bytes.extend(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{stale}", stale.len()).bytes());
            }
            wire.write_all(&bytes).await?;
        }
    }
    wire.flush().await?;

    match fault {
        // What the client makes of this is its business: a good server goes on.
        Fault::ByteByByte | Fault::Chunked | Fault::LengthTooShort | Fault::Gzip | Fault::BareLf => {
            return Ok(Some(wire));
        }
        Fault::Continue | Fault::EarlyHints | Fault::TwoAnswers => return Ok(Some(wire)),
        Fault::CutHead | Fault::CutBody | Fault::CutChunk | Fault::LengthTooLong => {}
        Fault::ResetInHead | Fault::ResetAfterHead | Fault::ResetIdle => reset(&wire)?,
        Fault::CloseIdle => wire.shutdown().await?,
        Fault::CloseNotifyIdle => {
            wire.close_notify().await?;
            // TCP alone: to read on through TLS would answer the client's own close_notify with our FIN.
            while wire.tcp().ready(tokio::io::Interest::READABLE).await.is_ok() {
                match wire.tcp().try_read(&mut [0; 1024]) {
                    Ok(0) => break,
                    Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                    _ => {}
                }
            }
        }
        Fault::TimeoutIdle => {
            let unasked = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            wire.write_all(unasked).await?;
            wire.shutdown().await?;
        }
        Fault::CloseNext | Fault::ResetNext => {
            let _ = wire.read(&mut [0; 64 * 1024]).await?;
            if fault == Fault::ResetNext {
                reset(&wire)?;
            }
        }
        _ => hold(wire).await?,
    }
    Ok(None)
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn own((first, rest): (&str, &str)) -> (String, String) {
    (first.to_owned(), rest.to_owned())
}

/// The head of an answer, with its own headers and these lines for the length of its body.
fn head_of(version: &str, answer: &Response<Bytes>, framing: &str) -> String {
    let status = answer.status();
    let mut head = format!("{version} {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or("Unknown"));
    for (name, value) in without_length(answer.headers()) {
        head.push_str(&format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes())));
    }
    head + framing + "\r\n"
}

fn without_length(headers: &HeaderMap) -> impl Iterator<Item = (&header::HeaderName, &header::HeaderValue)> {
    headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH)
}

/// Makes the end of the connection a reset.
fn reset(wire: &impl Wire) -> io::Result<()> {
    wire.tcp().set_zero_linger()
}

/// Keeps the connection until the client leaves.
async fn hold(mut wire: impl AsyncRead + Unpin) -> io::Result<()> {
    tokio::io::copy(&mut wire, &mut tokio::io::sink()).await.map(drop)
}

/// Writes until the client leaves.
async fn for_ever(mut wire: impl Wire, bytes: &[u8]) -> io::Result<()> {
    let many = bytes.repeat(16 * 1024 / bytes.len() + 1);
    loop {
        wire.write_all(&many).await?;
    }
}

/// Packs without making it smaller (RFC 1952, RFC 1951 section 3.2.4): a gzip that every reader can open.
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
    fn the_checksum_is_that_of_gzip() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
