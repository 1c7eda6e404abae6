//! What a server is told on its command line: where to listen, how to log, which charter.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use tracing::Level;
use usher_index::Charter;

use crate::http::serve::StartError;

/// Reads `--listen`: an address of this machine and a port, such as `127.0.0.1:8080`, `[::1]:0` or `localhost:80`.
///
/// # Errors
/// When it is none, or can be reached from other machines: without API keys such a server would answer anybody.
pub fn listen(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address =
        local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)).or_else(|| text.parse().ok());
    match address {
        Some(address) if address.ip().is_loopback() => Ok(address),
        Some(address) => Err(StartError::NotLoopback(address).to_string()),
        None => Err("expected an address and a port, such as 127.0.0.1:8080".to_owned()),
    }
}

/// The form of the log on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Log {
    /// Lines for people.
    Text,
    /// An object a line, for machines.
    Json,
}

impl Log {
    /// Sends what the server has to say, from warnings down to information, to standard error. The first call counts.
    pub fn begin(self) {
        let log = tracing_subscriber::fmt().with_max_level(Level::INFO).with_writer(std::io::stderr);
        // A log that runs already, in a test's process, goes on.
        _ = match self {
            Log::Text => log.with_target(false).try_init(),
            Log::Json => log.json().flatten_event(true).try_init(),
        };
    }
}

/// Reads a charter file.
///
/// # Errors
/// Naming the file and, in a charter, the line and column.
pub fn charter(path: &Path) -> anyhow::Result<Charter> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read the charter {}", path.display()))?;
    Charter::parse(&text).with_context(|| format!("the charter {} cannot be used", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_listened_to() {
        assert_eq!(listen("localhost:81").map(|address| address.to_string()), Ok("127.0.0.1:81".to_owned()));
        assert!(listen("[::1]:0").is_ok() && listen("127.3.2.1:8080").is_ok());
        for text in ["0.0.0.0:8080", "[::]:8080", "192.168.0.1:80"] {
            assert!(listen(text).unwrap_err().contains("API keys"), "{text}");
        }
        for text in ["8080", "localhost", "localhost:99999", "example.org:80", ""] {
            assert!(listen(text).unwrap_err().contains("127.0.0.1:8080"), "{text}");
        }
    }
}
