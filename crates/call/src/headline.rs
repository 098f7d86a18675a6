//! The one sentence that says what happened to a call.

/// The sentence.
#[derive(Debug)]
pub struct Headline;
