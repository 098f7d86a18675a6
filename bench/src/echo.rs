//! The ceiling: sends every datagram back and does nothing else, with the system calls and the
//! rhythm of a media worker.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use switchhook_media::bench_io::{RecvBatch, pin_to_core, schedule_realtime};

/// As the media worker: ten slices of a 20 ms tick.
const SLICES: usize = 10;
const SLICE: Duration = Duration::from_millis(2);

/// Name of its thread, for measuring.
pub const THREAD: &str = "bench-echo";

/// An echo on many sockets.
pub struct Echo {
    pub addresses: Vec<SocketAddr>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub fn start(sockets: usize, core: usize) -> std::io::Result<Self> {
        let sockets: Vec<UdpSocket> = (0..sockets)
            .map(|_| UdpSocket::bind("127.0.0.1:0"))
            .collect::<Result<_, _>>()?;
        let addresses = sockets
            .iter()
            .map(UdpSocket::local_addr)
            .collect::<Result<_, _>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || {
                let _ = pin_to_core(core);
                let _ = schedule_realtime();
                run(&sockets, &stopped);
            })?;
        Ok(Self {
            addresses,
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(sockets: &[UdpSocket], stop: &AtomicBool) {
    let mut batch = RecvBatch::<4>::new();
    let per_slice = sockets.len().div_ceil(SLICES).max(1);
    let epoch = Instant::now();
    let mut slice = 0u32;
    while !stop.load(Ordering::Relaxed) {
        // Sockets of a slice are neighbours, as the legs of a call are.
        for group in sockets
            .chunks(per_slice)
            .skip(slice as usize % SLICES)
            .step_by(SLICES)
        {
            for socket in group {
                loop {
                    let received = batch.receive(socket);
                    for i in 0..received {
                        if let Some(datagram) = batch.get(i) {
                            let _ = socket.send_to(datagram.data, datagram.from);
                        }
                    }
                    if received < 4 {
                        break;
                    }
                }
            }
        }
        slice += 1;
        if let Some(wait) = (SLICE * slice).checked_sub(epoch.elapsed()) {
            std::thread::park_timeout(wait);
        }
    }
}
