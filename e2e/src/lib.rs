//! The harness of the end-to-end tests: the real binary against real phones.
//!
//! What belongs here: starting and stopping other programs (the gateway, baresip, SIPp, the
//! speech server, espeak-ng) on free ports and in temporary directories, and talking to them.
//! What does not: what is expected of them; that is in `e2e/tests`. A missing program is a
//! failure that names its package, never a skipped test.
//!
//! Start reading at [`gateway::Gateway`] and [`baresip::Baresip`].

pub mod api;
pub mod asterisk;
pub mod baresip;
pub mod certs;
pub mod gateway;
pub mod kamailio;
pub mod lab;
pub mod netns;
pub mod outside;
pub mod phrases;
pub mod ports;
pub mod process;
pub mod sipp;
pub mod speech;
pub mod usage;

use std::path::{Path, PathBuf};

/// A phrase of `e2e/speech`.
pub fn audio(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("speech")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing from e2e/speech",
        path.display()
    );
    path
}

/// Top of the checkout.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("e2e is a directory of the repository")
}
