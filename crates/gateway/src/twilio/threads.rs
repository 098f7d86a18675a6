//! Threads that carry media streams, before all others where the system permits it: a frame that is
//! due does not wait for what steps, providers and voice detection of other calls compute.

use std::future::Future;

use switchhook_media::{Scheduling, schedule_thread};
use tokio::runtime::{Builder, Runtime};

/// They have a reactor and a clock of their own. What takes longer than a frame does not belong here,
/// and neither does what waits for the database.
#[derive(Debug)]
pub(super) struct StreamThreads(Option<Runtime>);

impl StreamThreads {
    /// # Errors
    /// If the system gives no threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("stream")
            .on_thread_start(|| schedule_thread(Scheduling::RealtimeIfAllowed))
            .enable_all()
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs it there, to its end or the end of the program.
    pub fn spawn(&self, stream: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            runtime.spawn(stream);
        }
    }
}

impl Drop for StreamThreads {
    fn drop(&mut self) {
        // Waiting for the threads would block the one that drops them.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
