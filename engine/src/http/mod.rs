//! HTTP: the routes, and everything between a socket and a question.
//!
//! | route | answered by |
//! |---|---|
//! | `GET /v1/visitors/{id}/segments`, `POST /v1/visitors/segments` | [`visitors`] |
//! | `POST /v1/memberships` | [`memberships`] |
//! | `POST /v1/feeds/{source}` | [`feeds`] |
//! | `GET`, `DELETE /v1/visitors/{id}`, `PUT`, `DELETE /v1/visitors/{id}/opt-out`, `GET /v1/audit` | [`govern`] |
//! | `GET /v1/segments` | [`segments`] |
//! | `POST /v1/size` | [`size`] |
//! | `GET /v1/audiences`, `GET`, `PUT`, `DELETE /v1/audiences/{name}` | [`audiences`] |
//! | `POST /v1/overlap` | [`overlap`] |
//! | `GET`, `POST /v1/lookalikes`, `GET`, `DELETE /v1/lookalikes/{name}` | [`lookalikes`] |
//! | `PUT /v1/lookalikes/{name}/audience` | [`activate`], [`making`] |
//! | `GET /v1/charter`, `/healthz/live`, `/healthz/ready`, `/healthz/startup`, `/metrics` | [`about`] |
//! | `GET /`, `/page/{name}`, `/docs`, `/openapi.json` | [`page`] |
//!
//! socket ([`serve`], [`attend`], [`outbox`]; [`watch`], [`pace`]) -> request (a plain lookup: [`usual`], [`direct`]; any
//! other: [`service`], [`guard`], [`route`], [`query`], [`body`]) -> question of the generation in force, or wish of the keeper ([`crate::keep`]) -> [`reply`] or
//! [`problem`]. `HEAD` works where `GET` does.

pub mod about;
pub mod activate;
pub mod app;
pub mod attend;
pub mod audiences;
pub mod body;
pub mod budget;
mod card;
pub mod direct;
pub mod feeds;
pub mod govern;
pub mod guard;
pub mod histogram;
pub mod limits;
pub mod lookalikes;
mod making;
pub mod measure;
pub mod memberships;
pub mod metrics;
pub mod outbox;
pub mod overlap;
pub mod pace;
pub mod page;
pub mod pool;
pub mod problem;
pub mod query;
pub mod reply;
pub mod route;
pub mod segments;
pub mod serve;
pub mod service;
pub mod size;
pub mod usual;
pub mod visitors;
pub mod watch;
