//! What hyper can do at best: one fixed answer, over connections set up as the engine's are. And what is left of it beside
//! bare flushes.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Cursor, Write};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

/// Bytes of a bare append.
pub const APPEND_BYTES: usize = 4_096;

/// Serves an answer of so many bytes until it is ended, and appends and flushes so many times a second meanwhile.
///
/// # Errors
/// When it cannot listen, or there is no file to append to.
pub fn run(bytes: usize, flushes: u32, out: &mut dyn Write) -> Result<()> {
    if flushes > 0 {
        let file = tempfile::tempfile_in(".")?;
        thread::spawn(move || flush(file, Duration::from_secs(1) / flushes));
    }
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

/// Until the disk is full, or the process ends.
fn flush(mut file: File, every: Duration) {
    let mut due = Instant::now();
    while file.write_all(&[7; APPEND_BYTES]).and_then(|()| file.sync_data()).is_ok() {
        due += every;
        // What a slow flush held up is not made up for.
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = due.max(Instant::now() - every);
    }
}
