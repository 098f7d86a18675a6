//! What those who run the gateway ask: is it alive, is it ready, how much does it do.

mod healthz;
mod prometheus;
mod readyz;

pub(super) use healthz::{__path_healthz, healthz};
pub(super) use prometheus::{__path_prometheus, prometheus};
pub(super) use readyz::{__path_readyz, readyz};
