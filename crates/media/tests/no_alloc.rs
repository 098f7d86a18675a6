//! Proof that a media worker does not allocate while calls run.

#![expect(
    unsafe_code,
    reason = "a counting allocator is the only way to see allocations"
)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use support::{Phone, Secure, engine, leg_id, srtp_params, until};
use switchhook_media::srtp::Suite;
use switchhook_media::{Codec, MediaEngine, MediaLeg, RtpParams};

struct Counting;

static BY_WORKERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_WORKER: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Workers are the threads named `media-0` and so on.
fn is_worker() -> bool {
    IS_WORKER.with(|flag| {
        flag.get().unwrap_or_else(|| {
            let mut name = [0u8; 16];
            // SAFETY: PR_GET_NAME writes at most 16 octets to the given buffer.
            unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
            // Unnamed yet: ask again next time.
            if name.starts_with(b"media-0") {
                flag.set(Some(true));
                return true;
            }
            false
        })
    })
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_worker() {
            BY_WORKERS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if is_worker() {
            BY_WORKERS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn party(engine: &MediaEngine, n: u32, codec: Codec) -> (MediaLeg, Phone) {
    let leg = engine.open_leg(leg_id("noalloc", n)).expect("a free leg");
    let phone = Phone::with_tone(leg.local_addr(), codec, 700.0);
    leg.start(RtpParams::new(phone.addr, codec));
    (leg, phone)
}

/// A leg whose media is protected.
fn secure_party(engine: &MediaEngine, n: u32) -> (MediaLeg, Phone) {
    let suite = Suite::Aes256CmHmacSha1Tag80;
    let leg = engine.open_leg(leg_id("noalloc", n)).expect("a free leg");
    let secure = Secure::new(suite, 2, 1);
    let phone = Phone::secure(leg.local_addr(), Codec::Pcma, 700.0, secure);
    leg.start(RtpParams {
        srtp: Some(srtp_params(suite, 1, 2)),
        ..RtpParams::new(phone.addr, Codec::Pcma)
    });
    (leg, phone)
}

#[tokio::test]
async fn a_worker_does_not_allocate_or_free_while_calls_run() {
    let (engine, _dir) = engine(1);
    let (a, phone_a) = party(&engine, 1, Codec::Pcmu);
    let (b, phone_b) = secure_party(&engine, 2);
    let (c, phone_c) = party(&engine, 3, Codec::Pcmu);
    engine.bridge(&a, &b);
    let _recording = a.record("noalloc.wav".as_ref()).unwrap();
    // Codecs with a memory, in a conference and with music on hold.
    let codecs = [Codec::G722, Codec::G722, Codec::Opus, Codec::Opus];
    let others: Vec<(MediaLeg, Phone)> = (4..)
        .zip(codecs)
        .map(|(n, codec)| party(&engine, n, codec))
        .collect();
    let conference = engine.conference(&others[0].0).unwrap();
    for (leg, _) in &others {
        conference.join(leg).unwrap();
    }
    others[3].0.music(true);
    let (_ear, mut mouth) = c.assistant();
    c.ringback(true);
    let heard = |n: usize| {
        let (a, b, c) = (
            phone_a.packet_count(),
            phone_b.packet_count(),
            phone_c.packet_count(),
        );
        move |phones: [&Phone; 3]| {
            phones[0].packet_count() > a + n
                && phones[1].packet_count() > b + n
                && phones[2].packet_count() > c + n
        }
    };
    let phones = [&phone_a, &phone_b, &phone_c];
    // Everything has been touched once.
    let warm = heard(50);
    until("a second", || warm(phones)).await;
    for (_, phone) in &others {
        until("the conference runs", || phone.packet_count() > 20).await;
    }
    let before = BY_WORKERS.load(Ordering::Relaxed);
    mouth.write(1, &vec![500; 8_000]).await.unwrap();
    mouth.end_item(1).await.unwrap();
    let done = heard(100);
    until("two seconds", || done(phones)).await;
    let during = BY_WORKERS.load(Ordering::Relaxed) - before;
    assert_eq!(
        during, 0,
        "allocations by the worker in two seconds of seven legs"
    );
    // Closing legs and conferences, changing codecs: freed elsewhere.
    let (g722, phone) = &others[0];
    g722.update(RtpParams::new(phone.addr, Codec::Pcmu));
    others[3].0.music(false);
    drop(conference);
    drop((a, b, others));
    until("the legs are freed", || engine.stats().legs == 1).await;
    assert_eq!(BY_WORKERS.load(Ordering::Relaxed) - before, 0);
}
