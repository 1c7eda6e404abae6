//! Lines of the audit that loader and engine write alike.

use usher_index::{AuditEntry, Charter, State, StateError, Time};

/// Remembers that a charter is in force: a line when it is another than the one that was remembered last. The owner of
/// the state writes it, whoever published the generation.
///
/// # Errors
/// When the state cannot be written.
pub fn charter(state: &State, charter: &Charter, generation: u64, at: Time) -> Result<bool, StateError> {
    let digest = charter.digest();
    let shown = digest.as_deref().unwrap_or("none");
    let detail = format!("digest {shown}, in generation {generation}");
    let entry = AuditEntry { at, what: "charter".to_owned(), detail, receipt: None };
    state.note_charter(digest.as_deref(), &entry)
}

/// An exact count, which is told without rounding: who asked, and what.
#[must_use]
pub fn exact_count(who: &str, expression: &str) -> (&'static str, String) {
    ("exact_count", format!("{who}: {expression}"))
}
