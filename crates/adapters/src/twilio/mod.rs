//! Twilio: what it sends, what it is told, and how both are proved.
//!
//! What belongs here: signatures, parameters, documents, messages of audio streams, REST, error
//! codes: each of them typed, and none of them aware of what a call is for. What does not: when to
//! say what, storage, routes, sockets. Our own notices to others are
//! [`webhook`](crate::webhook): another thing, in spite of the name of [`webhook`] here.
//!
//! Start reading at [`webhook`] (what comes in), [`twiml`] (what is answered) and [`rest`] (what is
//! asked). [`form`] and [`signature`] stand before the first, [`stream`] beside all of them.

pub mod catalogue;
pub mod form;
pub mod signature;
pub mod webhook;

pub use form::{FormError, Params};
pub use signature::{Matched, Signed, Unsigned, Verifier};
pub use webhook::{CallSid, Webhook};
