//! Who is answered. A server without keys answers this machine alone: it listens on loopback, and it refuses what a
//! browser page from elsewhere (another `Origin`, a rebound `Host`) or a proxy (`Forwarded`) brings to loopback.

use std::net::IpAddr;

use http::{HeaderMap, Uri, header};

use super::problem::{Kind, Problem};

/// Refuses a request that did not come straight from this machine.
///
/// # Errors
/// [`Kind::NotLocal`], with the header that was in the way.
pub fn check(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let (mut host, mut has_origin) = (None, false);
    for (name, value) in headers {
        match *name {
            header::HOST => {
                let text = value.to_str().unwrap_or("");
                if host.replace(text).is_some() || !is_loopback(text) {
                    return Err(refused("a Host other than localhost, 127.0.0.1 or [::1]"));
                }
            }
            header::ORIGIN => has_origin = true,
            _ if *name == header::FORWARDED || name.as_str().starts_with("x-forwarded-") => {
                return Err(refused("a Forwarded or X-Forwarded header, so a proxy stands between"));
            }
            _ => {}
        }
    }
    let Some(host) = host else { return Err(refused("no Host header")) };
    if uri.authority().is_some_and(|authority| !is_loopback(authority.as_str())) {
        return Err(refused("an address other than localhost, 127.0.0.1 or [::1]"));
    }
    // The Host may stand behind the Origin: it is compared when both are known.
    let origins = has_origin.then(|| headers.get_all(header::ORIGIN));
    for origin in origins.into_iter().flatten() {
        let same = origin.to_str().ok().and_then(|text| text.strip_prefix("http://"));
        if !same.is_some_and(|authority| authority.eq_ignore_ascii_case(host)) {
            return Err(refused("an Origin other than its own"));
        }
    }
    Ok(())
}

fn refused(came: &str) -> Problem {
    Problem::new(
        Kind::NotLocal,
        format!(
            "This server has no API keys, so it answers only requests made on this machine; this one has {came}. Ask http://127.0.0.1 directly."
        ),
    )
}

/// Whether `authority` (`host` or `host:port`) names this machine.
pub(super) fn is_loopback(authority: &str) -> bool {
    if authority.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse().map(IpAddr::V6),
        None => host.parse().map(IpAddr::V4),
    };
    address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn checked(uri: &str, pairs: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        check(&uri.parse().unwrap(), &headers).is_ok()
    }

    #[test]
    fn this_machine_is_answered_under_each_of_its_names() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.8.8.8", "[::1]", "[::1]:9"] {
            assert!(checked("/", &[("host", host)]), "{host}");
        }
        assert!(checked("http://127.0.0.1:1/", &[("host", "127.0.0.1:1"), ("origin", "http://127.0.0.1:1")]));
    }

    #[test]
    fn everything_else_is_refused() {
        for host in ["theatre.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "::1", "", "10.0.0.1"] {
            assert!(!checked("/", &[("host", host)]), "{host}");
        }
        assert!(!checked("/", &[]));
        assert!(!checked("/", &[("host", "localhost"), ("host", "localhost")]));
        assert!(!checked("http://evil.example/", &[("host", "localhost")]));
        for origin in ["null", "http://evil.example", "https://localhost:8080", "http://localhost:8081"] {
            assert!(!checked("/", &[("host", "localhost:8080"), ("origin", origin)]), "{origin}");
        }
        for name in ["forwarded", "x-forwarded-for", "x-forwarded-proto"] {
            assert!(!checked("/", &[("host", "localhost"), (name, "for=10.0.0.1")]), "{name}");
        }
    }
}
