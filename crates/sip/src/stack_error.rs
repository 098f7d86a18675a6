//! What went wrong in the SIP stack, in words that may be logged. Its own texts hold addresses,
//! header values and whole lines of messages: numbers of callers among them.

use rsipstack::Error;

/// The kind of an error of the stack.
pub(crate) fn kind(error: &Error) -> &'static str {
    match error {
        Error::SipMessageError(_) => "message",
        Error::DnsResolutionError(_) => "dns",
        Error::TransportLayerError(..) => "transport",
        Error::TransactionError(..) => "transaction",
        Error::EndpointError(_) => "endpoint",
        Error::DialogError(..) => "dialog",
        Error::IoError(_) => "io",
        Error::AddrParseError(_) => "address",
        _ => "other",
    }
}
