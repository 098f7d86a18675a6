//! Frees what the workers have done with: closing sockets and freeing memory may take longer than
//! a media worker can spare.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use rtrb::Consumer;

use crate::engine::EngineState;
use crate::worker::Grave;

/// What goes back to the engine when a leg is freed.
#[derive(Debug)]
pub(crate) struct Belongings {
    pub port: u16,
    /// The call the leg was placed by.
    pub call: String,
    pub phase: usize,
}

#[derive(Debug)]
pub(crate) struct Reaper {
    stop: Arc<AtomicBool>,
    thread: Thread,
    join: Option<JoinHandle<()>>,
}

impl Reaper {
    /// One queue for each worker.
    pub fn start(queues: Vec<Consumer<Grave>>, state: Arc<EngineState>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stop_flag = Arc::clone(&stop);
        let join = std::thread::Builder::new()
            .name("media-reaper".to_owned())
            .spawn(move || run(queues, &state, &stop_flag))?;
        Ok(Self {
            stop,
            thread: join.thread().clone(),
            join: Some(join),
        })
    }

    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.thread.unpark();
        if let Some(join) = self.join.take()
            && join.join().is_err()
        {
            tracing::error!("the media reaper had a fault");
        }
    }
}

fn run(mut queues: Vec<Consumer<Grave>>, state: &EngineState, stop: &AtomicBool) {
    loop {
        let stopping = stop.load(Ordering::Acquire);
        for (worker, queue) in queues.iter_mut().enumerate() {
            while let Ok(grave) = queue.pop() {
                match grave {
                    Grave::Leg { slot, leg } => {
                        let Belongings { port, call, phase } = leg.into_belongings();
                        state.release(worker, slot, phase, port, &call);
                    }
                    Grave::Assistant(tap) => drop(tap),
                    Grave::Recording(tap) => drop(tap),
                    Grave::Link(link) => drop(link),
                    Grave::Coders(coders) => drop(coders),
                    Grave::Music(player) => drop(player),
                    Grave::Mixer(mixer) => drop(mixer),
                    Grave::Srtp(session) => drop(session),
                }
            }
        }
        if stopping {
            return;
        }
        // Unparked by the workers. The timeout only guards against a lost wake-up.
        std::thread::park_timeout(Duration::from_millis(500));
    }
}
