//! One connection, from its first byte to its end.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::app::App;
use super::direct::{Direct, End};
use super::limits::MAX_HEAD_BYTES;
use super::outbox::{Outbox, Shared, Wire};
use super::pace::{Pace, Phase, Word};
use super::service::Connection;

type Http = http1::Connection<TokioIo<Wire<OwnedReadHalf, OwnedWriteHalf>>, Connection>;

/// Attends to a connection until its end. To be spawned as it is: the waker of its first turn is kept.
pub async fn attend(socket: TcpStream, app: Arc<App>, pace: Arc<Pace>) {
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!("no TCP_NODELAY: {error}");
    }
    poll_fn(|cx| {
        pace.listen(cx.waker());
        Poll::Ready(())
    })
    .await;
    let (reads, writes) = socket.into_split();
    let outbox = Shared::new(Outbox::new(writes, pace.clone()));
    let mut direct = Direct::new(reads, outbox.clone(), app.clone(), pace.clone());
    let ended = match poll_fn(|cx| direct.turn(cx)).await {
        Ok(End::Closed) => Ok(()),
        Ok(End::Other) => by_hyper(direct, outbox, app, pace).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::debug!("a connection broke: {error}");
    }
}

/// Attends to the rest of a connection that asks for more than lookups.
async fn by_hyper(direct: Direct, outbox: Shared<OwnedWriteHalf>, app: Arc<App>, pace: Arc<Pace>) -> io::Result<()> {
    let (ahead, reads) = direct.into_parts();
    let io = TokioIo::new(Wire::new(ahead, reads, outbox.clone(), pace.clone()));
    // The deadlines are `Pace`'s: hyper's own would count the rest between two requests as part of a head.
    let http = http1::Builder::new()
        .keep_alive(true)
        // A client that has ended its side after its last request still gets the answers.
        .half_close(true)
        .max_buf_size(MAX_HEAD_BYTES)
        .header_read_timeout(None)
        .serve_connection(io, Connection::new(app, pace.clone()));
    let mut http = pin!(http);
    let mut turns = Turns { pace, outbox, finishing: false, served: false };
    poll_fn(|cx| turns.turn(http.as_mut(), cx)).await
}

/// What is known of a connection from turn to turn.
struct Turns {
    pace: Arc<Pace>,
    outbox: Shared<OwnedWriteHalf>,
    /// hyper knows that it is to finish.
    finishing: bool,
    /// hyper is done.
    served: bool,
}

impl Turns {
    /// Hears what was said, lets hyper do what it can, and sends what came of it.
    fn turn(&mut self, mut http: Pin<&mut Http>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let word = self.pace.word();
        if word == Word::Leave {
            return Poll::Ready(Ok(()));
        }
        self.serve(http.as_mut(), cx);
        // Only now, so that hyper knows of the request that it was handed.
        if word == Word::Finish && !self.finishing && !self.served {
            self.finishing = true;
            http.as_mut().graceful_shutdown();
            self.serve(http, cx);
        }
        let sent = self.outbox.get().poll_send(cx);
        match sent {
            Poll::Ready(Ok(())) if !self.served => Poll::Pending,
            sent => sent,
        }
    }

    fn serve(&mut self, http: Pin<&mut Http>, cx: &mut Context<'_>) {
        if self.served {
            return;
        }
        let done = http.poll(cx);
        if let Poll::Ready(Err(error)) = &done {
            tracing::debug!("a connection broke: {error}");
            // The last answers have as long to leave as any.
            self.pace.enter(Phase::Idle);
        }
        self.served = done.is_ready();
    }
}
