//! How the sets of segments are stored.

use clap::ValueEnum;
use usher_index::containers::Policy;

/// The two policies that have a name.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum PolicyName {
    /// The smallest that still counts fast.
    Compact,
    /// The fastest, for about half a byte a membership more.
    Fast,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Compact => Self::COMPACT,
            PolicyName::Fast => Self::FAST,
        }
    }
}
