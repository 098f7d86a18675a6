//! Twilio: what it sends, what it is told, and how both are proved.
//!
//! What belongs here: signatures, parameters, documents, messages of audio streams, REST, error
//! codes: each of them typed, and none of them aware of what a call is for. What does not: when to
//! say what, storage, routes, sockets. Our own notices to others are
//! [`webhook`](crate::webhook): another thing, in spite of the name of [`webhook`] here.
//!
//! Start reading at [`webhook`] (what comes in), [`twiml`] (what is answered) and [`rest`] (what is
//! asked). [`form`] and [`signature`] stand before the first, [`stream`] beside all of them.

/// `Debug` of what holds words, numbers, passwords or tokens: the type's name and nothing else.
macro_rules! hide {
    ($($type:ident),+ $(,)?) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($type)).finish_non_exhaustive()
            }
        }
    )+};
}

pub mod catalogue;
pub mod form;
pub mod rest;
pub mod signature;
pub mod stream;
pub mod twiml;
pub mod webhook;

pub use form::{FormError, Params};
pub use rest::{Carrier, Credentials, ErrorKind, TwilioError, TwilioRest};
pub use signature::{Matched, Signed, Unsigned, Verifier};
pub use twiml::{Document, TwimlError};
pub use webhook::{CallSid, Webhook};
