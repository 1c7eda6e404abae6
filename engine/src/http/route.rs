//! From the raw path to a route. The path is matched as it was sent and only then decoded, so that an id may hold a
//! slash (`%2F`) without ever changing the route.

use http::Method;

/// The routes; [`Route::template`] is what logs and metrics may say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the templates say it")]
pub enum Route {
    Visitor,
    Batch,
    Record,
    OptOut,
    Memberships,
    Feed,
    Audit,
    Segments,
    Size,
    Audiences,
    Audience,
    Overlap,
    Lookalikes,
    Lookalike,
    LookalikeAudience,
    Charter,
    Live,
    Ready,
    Startup,
    Metrics,
    Page,
    OpenApi,
    Docs,
    Asset,
    Unknown,
}

/// How many routes there are.
pub const ROUTES: usize = Route::ALL.len();

impl Route {
    /// Every route, in the order of their numbers.
    pub const ALL: [Route; 25] = [
        Route::Visitor,
        Route::Batch,
        Route::Record,
        Route::OptOut,
        Route::Memberships,
        Route::Feed,
        Route::Audit,
        Route::Segments,
        Route::Size,
        Route::Audiences,
        Route::Audience,
        Route::Overlap,
        Route::Lookalikes,
        Route::Lookalike,
        Route::LookalikeAudience,
        Route::Charter,
        Route::Live,
        Route::Ready,
        Route::Startup,
        Route::Metrics,
        Route::Page,
        Route::OpenApi,
        Route::Docs,
        Route::Asset,
        Route::Unknown,
    ];

    /// The path with a placeholder where a visitor id, a source or a name stands.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Route::Visitor => "/v1/visitors/{id}/segments",
            Route::Batch => "/v1/visitors/segments",
            Route::Record => "/v1/visitors/{id}",
            Route::OptOut => "/v1/visitors/{id}/opt-out",
            Route::Memberships => "/v1/memberships",
            Route::Feed => "/v1/feeds/{source}",
            Route::Audit => "/v1/audit",
            Route::Segments => "/v1/segments",
            Route::Size => "/v1/size",
            Route::Audiences => "/v1/audiences",
            Route::Audience => "/v1/audiences/{name}",
            Route::Overlap => "/v1/overlap",
            Route::Lookalikes => "/v1/lookalikes",
            Route::Lookalike => "/v1/lookalikes/{name}",
            Route::LookalikeAudience => "/v1/lookalikes/{name}/audience",
            Route::Charter => "/v1/charter",
            Route::Live => "/healthz/live",
            Route::Ready => "/healthz/ready",
            Route::Startup => "/healthz/startup",
            Route::Metrics => "/metrics",
            Route::Page => "/",
            Route::OpenApi => "/openapi.json",
            Route::Docs => "/docs",
            Route::Asset => "/page/{name}",
            Route::Unknown => "unknown",
        }
    }

    /// The methods the route takes, as the `Allow` header lists them.
    #[must_use]
    pub fn methods(self) -> &'static str {
        match self {
            Route::Batch | Route::Size | Route::Overlap | Route::Memberships | Route::Feed => "POST",
            Route::Lookalikes => "GET, HEAD, POST",
            Route::LookalikeAudience => "PUT",
            Route::Record | Route::Lookalike => "GET, HEAD, DELETE",
            Route::Audience => "GET, HEAD, PUT, DELETE",
            Route::OptOut => "PUT, DELETE",
            Route::Unknown => "",
            _ => "GET, HEAD",
        }
    }

    /// Whether the route takes `method`.
    #[must_use]
    pub fn takes(self, method: &Method) -> bool {
        let reads = method == Method::GET || method == Method::HEAD;
        match self {
            Route::Batch | Route::Size | Route::Overlap | Route::Memberships | Route::Feed => method == Method::POST,
            Route::Lookalikes => reads || method == Method::POST,
            Route::LookalikeAudience => method == Method::PUT,
            Route::Record | Route::Lookalike => reads || method == Method::DELETE,
            Route::Audience => reads || method == Method::PUT || method == Method::DELETE,
            Route::OptOut => method == Method::PUT || method == Method::DELETE,
            Route::Unknown => false,
            _ => reads,
        }
    }

    /// The route of a raw path and the raw visitor id, source or name in it (else an empty string).
    #[must_use]
    pub fn of(path: &str) -> (Route, &str) {
        let route = match path {
            "/v1/visitors/segments" => Route::Batch,
            "/v1/memberships" => Route::Memberships,
            "/v1/audit" => Route::Audit,
            "/v1/segments" => Route::Segments,
            "/v1/size" => Route::Size,
            "/v1/audiences" => Route::Audiences,
            "/v1/overlap" => Route::Overlap,
            "/v1/lookalikes" => Route::Lookalikes,
            "/v1/charter" => Route::Charter,
            "/healthz/live" => Route::Live,
            "/healthz/ready" => Route::Ready,
            "/healthz/startup" => Route::Startup,
            "/metrics" => Route::Metrics,
            "/" => Route::Page,
            "/openapi.json" => Route::OpenApi,
            "/docs" => Route::Docs,
            _ => return with_name(path).unwrap_or((Route::Unknown, "")),
        };
        (route, "")
    }
}

fn with_name(path: &str) -> Option<(Route, &str)> {
    let (route, name) = if let Some(rest) = path.strip_prefix("/v1/visitors/") {
        match rest.rsplit_once('/') {
            Some((id, "segments")) => (Route::Visitor, id),
            Some((id, "opt-out")) => (Route::OptOut, id),
            None => (Route::Record, rest),
            Some(_) => return None,
        }
    } else if let Some(name) = path.strip_prefix("/v1/audiences/") {
        (Route::Audience, name)
    } else if let Some(rest) = path.strip_prefix("/v1/lookalikes/") {
        match rest.rsplit_once('/') {
            Some((name, "audience")) => (Route::LookalikeAudience, name),
            None => (Route::Lookalike, rest),
            Some(_) => return None,
        }
    } else if let Some(name) = path.strip_prefix("/page/") {
        (Route::Asset, name)
    } else {
        (Route::Feed, path.strip_prefix("/v1/feeds/")?)
    };
    (!name.contains('/')).then_some((route, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_raw_and_never_change_the_route() {
        assert_eq!(Route::of("/v1/visitors/ab%2Fsegments/segments"), (Route::Visitor, "ab%2Fsegments"));
        assert_eq!(Route::of("/v1/visitors//segments"), (Route::Visitor, ""));
        assert_eq!(Route::of("/v1/visitors/segments/segments"), (Route::Visitor, "segments"));
        assert_eq!(Route::of("/v1/visitors/segments"), (Route::Batch, ""));
        assert_eq!(Route::of("/v1/visitors/a%2Fb"), (Route::Record, "a%2Fb"));
        assert_eq!(Route::of("/v1/visitors/a/opt-out"), (Route::OptOut, "a"));
        assert_eq!(Route::of("/v1/feeds/mag"), (Route::Feed, "mag"));
        assert_eq!(Route::of("/page/main.js"), (Route::Asset, "main.js"));
        for path in [
            "/v1/visitors/a/b/segments",
            "/v1/visitors/a/b",
            "/v1/feeds/a/b",
            "/v1/feeds",
            "/v1/segments/",
            "//",
            "",
            "/V1/size",
        ] {
            assert_eq!(Route::of(path).0, Route::Unknown, "{path}");
        }
    }

    #[test]
    fn every_template_leads_to_its_route() {
        for (number, route) in Route::ALL.into_iter().enumerate() {
            assert_eq!(Route::of(route.template()).0, route);
            assert_eq!(route as usize, number);
        }
    }
}
