//! What hyper can do at best: one fixed answer, over connections set up as the engine's are.

use std::convert::Infallible;
use std::io::{Cursor, Write};
use std::net::Ipv4Addr;

use anyhow::Result;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Serves an answer of so many bytes until it is ended.
///
/// # Errors
/// When it cannot listen.
pub fn run(bytes: usize, out: &mut dyn Write) -> Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    writeln!(out, "listening on http://{}", listener.local_addr()?)?;
    out.flush()?;
    let accept = async move {
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let service = service_fn(move |_| async move {
                let mut reply = Response::new(Full::new(Cursor::new(vec![b'x'; bytes])));
                reply.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
                Ok::<_, Infallible>(reply)
            });
            tokio::spawn(async move {
                // A client that went away ends its connection.
                _ = http1::Builder::new()
                    .keep_alive(true)
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    };
    runtime.block_on(async { tokio::spawn(accept).await? })
}
