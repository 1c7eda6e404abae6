//! From a request to its answer. A lookup is answered on the spot, without a task, a lock or a shared counter; what has
//! to wait (for a body, for a count) gets a task of its own, so that a panic in it is an answer 500 and nothing more.

use std::convert::Infallible;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::{HeaderMap, Method, Request, Uri};
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::task::JoinHandle;

use super::app::App;
use super::pace::{Pace, Phase};
use super::problem::{Kind, Problem};
use super::reply::Reply;
use super::route::Route;
use super::{
    about, activate, audiences, body, feeds, govern, guard, lookalikes, memberships, overlap, page, segments, size,
    visitors,
};

/// Answers the requests of one connection.
pub struct Connection {
    app: Arc<App>,
    pace: Arc<Pace>,
}

impl Connection {
    /// For a connection that keeps `pace`.
    #[must_use]
    pub fn new(app: Arc<App>, pace: Arc<Pace>) -> Connection {
        Connection { app, pace }
    }

    fn at_once(&self, uri: &Uri, headers: HeaderMap, route: Route, raw_id: &str) -> Result<Reply, Problem> {
        let (app, query) = (&*self.app, uri.query());
        match route {
            Route::Visitor => visitors::one(app, headers, raw_id, query),
            Route::Charter => about::charter(app, query),
            Route::Metrics => about::metrics(app),
            Route::Ready => Ok(about::ready(app)),
            Route::Live => Ok(about::live()),
            Route::Startup => Ok(about::startup()),
            Route::Page => page::index(&headers),
            Route::Docs => page::docs(&headers),
            Route::OpenApi => page::openapi(&headers),
            Route::Asset => page::asset(&headers, raw_id),
            Route::Audit => govern::audit(app, query),
            _ => Err(not_found()),
        }
    }

    fn done(&self, route: Route, began: Instant, reply: Reply) -> Answer {
        finish(&self.app, &self.pace, route, began, &reply);
        Answer::Now(Some(reply))
    }
}

impl Service<Request<Incoming>> for Connection {
    type Response = Reply;
    type Error = Infallible;
    type Future = Answer;

    fn call(&self, mut request: Request<Incoming>) -> Answer {
        let began = Instant::now();
        self.pace.enter(Phase::Busy);
        let headers = take(request.headers_mut());
        let (route, raw_id) = Route::of(request.uri().path());
        if let Err(problem) = admit(&request, &headers, route) {
            let reply = problem.reply();
            body::linger(request.into_body(), &self.pace);
            return self.done(route, began, reply);
        }
        if takes_time(route) {
            let (app, pace) = (self.app.clone(), self.pace.clone());
            let task = tokio::spawn(in_time(app.clone(), pace.clone(), request, route));
            return Answer::Later { task, app, pace, route, began };
        }
        let answered = catch_unwind(AssertUnwindSafe(|| self.at_once(request.uri(), headers, route, raw_id)));
        let reply = answered.unwrap_or_else(|_| Err(panicked(route))).unwrap_or_else(|problem| problem.reply());
        body::linger(request.into_body(), &self.pace);
        self.done(route, began, reply)
    }
}

/// Whether the answer has to wait for something: a body, a count, a disk.
fn takes_time(route: Route) -> bool {
    use Route::{
        Audience, Audiences, Batch, Feed, Lookalike, LookalikeAudience, Lookalikes, Memberships, OptOut, Overlap,
        Record, Segments, Size,
    };
    let asks = matches!(route, Batch | Record | Size | Segments | Overlap | Audiences | Audience);
    asks || matches!(route, OptOut | Memberships | Feed | Lookalikes | Lookalike | LookalikeAudience)
}

/// Whether the request may be answered at all.
fn admit(request: &Request<Incoming>, headers: &HeaderMap, route: Route) -> Result<(), Problem> {
    guard::check(request.uri(), headers)?;
    if route == Route::Unknown {
        return Err(not_found());
    }
    if !route.takes(request.method()) {
        let methods = route.methods();
        let detail = format!("{} takes {methods}.", route.template());
        return Err(Problem::new(Kind::MethodNotAllowed, detail).allowing(methods));
    }
    Ok(())
}

async fn in_time(app: Arc<App>, pace: Arc<Pace>, request: Request<Incoming>, route: Route) -> Reply {
    let (head, mut body) = request.into_parts();
    let (query, (_, raw)) = (head.uri.query(), Route::of(head.uri.path()));
    let answered = match route {
        Route::OptOut if head.method == Method::PUT => govern::opt_out(&app, raw, query).await,
        Route::OptOut => govern::revoke(&app, raw, query).await,
        Route::Record if head.method == Method::DELETE => govern::erase(&app, raw, query).await,
        Route::Record => govern::access(&app, raw, query),
        Route::Memberships => memberships::add(&app, query, &mut body).await,
        Route::Feed => feeds::load(&app, raw, query, &mut body).await,
        Route::Batch => visitors::batch(&app, query, &mut body).await,
        Route::Size => size::answer(&app, query, &mut body).await,
        Route::Audiences => audiences::list(&app, query).await,
        Route::Audience if head.method == Method::PUT => audiences::put(&app, raw, query, &mut body).await,
        Route::Audience if head.method == Method::DELETE => audiences::delete(&app, raw, query).await,
        Route::Audience => audiences::get(&app, raw, query).await,
        Route::Overlap => overlap::answer(&app, query, &mut body).await,
        Route::Lookalikes if head.method == Method::POST => lookalikes::make(&app, query, &mut body).await,
        Route::Lookalikes => lookalikes::list(&app, query),
        Route::Lookalike if head.method == Method::DELETE => lookalikes::delete(&app, raw, query).await,
        Route::Lookalike => lookalikes::get(&app, raw, query),
        Route::LookalikeAudience => activate::put(&app, raw, query, &mut body).await,
        _ => segments::list(&app, query).await,
    };
    body::linger(body, &pace);
    answered.unwrap_or_else(|problem| problem.reply())
}

fn not_found() -> Problem {
    Problem::new(Kind::NotFound, "Nothing answers at this path; README.md lists the addresses there are.")
}

fn panicked(route: Route) -> Problem {
    tracing::error!(route = route.template(), "answering panicked");
    Problem::internal()
}

fn finish(app: &App, pace: &Pace, route: Route, began: Instant, reply: &Reply) {
    app.metrics.answered(route, reply.status(), began.elapsed(), 1);
    pace.enter(Phase::Idle);
}

/// An answer, there or on its way.
pub enum Answer {
    /// There.
    Now(Option<Reply>),
    /// On its way.
    Later {
        /// The task that makes it.
        task: JoinHandle<Reply>,
        /// For the metrics.
        app: Arc<App>,
        /// To be told when it is there.
        pace: Arc<Pace>,
        /// What was asked.
        route: Route,
        /// When it was asked.
        began: Instant,
    },
}

impl Future for Answer {
    type Output = Result<Reply, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Answer::Now(reply) => Poll::Ready(Ok(reply.take().unwrap_or_else(|| Problem::internal().reply()))),
            Answer::Later { task, app, pace, route, began } => {
                let joined = ready!(Pin::new(task).poll(cx));
                let reply = joined.unwrap_or_else(|_| panicked(*route).reply());
                finish(app, pace, *route, *began, &reply);
                Poll::Ready(Ok(reply))
            }
        }
    }
}
