//! Free ports on loopback.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that is free for UDP and TCP, as is the next one (baresip binds two).
///
/// It is free now; somebody may take it before it is used. Ports are taken from below the range
/// from which the system serves port 0, each only once per test process, so that this does not
/// happen in practice.
pub fn free() -> u16 {
    block(2)
}

/// `count` consecutive free UDP ports, beginning with an even one.
pub fn block(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const SPAN: u16 = 18_000;
    for _ in 0..2_000 {
        let step = count.next_multiple_of(2);
        // Test processes that run at the same time begin at different places.
        let start = (std::process::id() % 90) as u16 * 200;
        let offset = (start + NEXT.fetch_add(step, Ordering::Relaxed) % SPAN) % SPAN;
        let port = FIRST + offset;
        let is_free = |p: u16| {
            UdpSocket::bind(("127.0.0.1", p)).is_ok() && TcpListener::bind(("127.0.0.1", p)).is_ok()
        };
        if (port..port + count).all(is_free) {
            return port;
        }
    }
    panic!("no {count} free ports between {FIRST} and {}", FIRST + SPAN)
}
