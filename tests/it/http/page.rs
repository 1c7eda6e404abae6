//! The planner's page: its files, how browsers keep them, and what they may not do.

use std::collections::BTreeSet;

use usher_engine::http::route::Route;

use super::client::{get, post};
use super::{Site, problem, quick};

#[test]
fn the_page_and_its_files_are_served_under_a_strict_policy() {
    let site = Site::new(quick());
    let mut client = site.client();
    let page = client.get("/");
    assert!(page.body.starts_with("<!doctype html>"), "{page:?}");
    let files = page.body.split("\"/page/").skip(1).filter_map(|rest| rest.split('"').next());
    let mut files: Vec<_> = files.map(|name| format!("/page/{name}")).collect();
    assert!(files.len() > 5, "{files:?}");
    files.push("/".to_owned());
    for path in files {
        let reply = client.get(&path);
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(policy.ends_with("base-uri 'none'; form-action 'none'; frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        let ending = path.rsplit('.').next().unwrap_or_default();
        let expected = match ending {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(reply.header("content-type"), Some(expected), "{path}");
    }
    let lost = client.get("/page/secret-name.js");
    assert_eq!(problem(&lost), (404, "not-found".to_owned()));
    assert_eq!(client.post("/page/main.js", "").header("allow"), Some("GET, HEAD"));
    let metrics = client.get("/metrics").body;
    assert!(metrics.contains(r#"usher_requests_total{route="/page/{name}",status="404"} 1"#), "{metrics}");
    assert!(!metrics.contains("secret-name"));
}

#[test]
fn a_browser_asks_again_and_is_told_that_it_has_the_file() {
    let site = Site::new(quick());
    let mut client = site.client();
    let first = client.get("/page/main.js");
    assert_eq!(first.header("cache-control"), Some("no-cache"));
    let tag = first.header("etag").expect("a tag").to_owned();
    let ask = |held: &str| get("/page/main.js").replace("Host:", &format!("If-None-Match: {held}\r\nHost:"));
    client.send(ask(&tag));
    let again = client.receive(true);
    assert_eq!((again.status, again.header("etag")), (304, Some(&*tag)));
    // The next answer begins where it should: the 304 had no body.
    client.send(ask("\"of-another-time\""));
    assert_eq!(client.receive(false).body, first.body);
    client.send(post("/v1/size", r#"{"expression":"interest.theatre"}"#));
    assert_eq!(client.receive(false).status, 200);
}

#[test]
fn the_description_has_every_route_and_no_other() {
    let site = Site::new(quick());
    let mut client = site.client();
    let api = client.get("/openapi.json");
    assert_eq!(api.header("content-type"), Some("application/json"));
    let api = api.json();
    let described: BTreeSet<(String, String)> = api["paths"]
        .as_object()
        .expect("paths")
        .iter()
        .flat_map(|(path, item)| {
            item.as_object().expect("operations").keys().map(move |method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    // What a browser reads is described by itself.
    let pages = [Route::Page, Route::Asset, Route::Docs, Route::Unknown];
    let served: BTreeSet<(String, String)> = Route::ALL
        .into_iter()
        .filter(|route| !pages.contains(route))
        .flat_map(|route| {
            route.methods().split(", ").map(move |method| (route.template().to_owned(), method.to_owned()))
        })
        .filter(|(_, method)| method != "HEAD")
        .collect();
    assert_eq!(described, served);
    assert!(client.get("/docs").body.contains("/page/docs.js"));
}
