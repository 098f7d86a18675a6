//! Switchhook's laboratory: the other side of every conversation, under our control.
//!
//! What belongs here: a scripted SIP phone ([`phone`]), sounds made and judged by frequency
//! ([`audio`]), a counter of what is really on the wire ([`tap`]), a bad network ([`relay`]), a
//! door that is shut between two requests ([`door`]), a caller for
//! `switchhook lab call` ([`call`]), imitations of an OpenAI-compatible server ([`providers`]), of
//! Twilio ([`carrier`], with a page and a [`visitor`] of it) and of the staff's receiver ([`notices`]), a
//! PostgreSQL server of one's own ([`postgres`]), and a clock that jumps ([`virtual_time`]). What does not: anything of the gateway.
//! The lab depends on
//! none of the gateway's crates, so that an error there cannot hide here. Nothing depends on the
//! lab but the binary's `lab` command and tests.
//!
//! Start reading at [`phone`].

pub mod audio;
pub mod call;
pub mod carrier;
pub mod door;
pub mod notices;
pub mod phone;
pub mod postgres;
pub mod providers;
pub mod relay;
pub mod tap;
pub mod transcribe;
pub mod virtual_time;
pub mod visitor;
pub mod wait;

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

/// The runtime on which phones live: apart from the tests' own, which may be single-threaded and
/// busy computing when a 20 ms packet is due. It lasts as long as the process.
pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("lab")
            .enable_all()
            .build()
            .expect("the system has threads for a runtime")
    })
}
