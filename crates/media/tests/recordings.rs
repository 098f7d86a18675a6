//! Recordings when things go wrong, and when they go right.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Phone, engine, engine_with, event, leg_id, share, until};
use switchhook_media::wav::Wav;
use switchhook_media::{Codec, MediaEvent, RecordError, RtpParams};

#[tokio::test]
async fn a_full_disk_is_reported_and_the_call_goes_on() {
    let (engine, directory) = engine(1);
    let leg = engine.open_leg(leg_id("full", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    leg.start(RtpParams::new(phone.addr, Codec::Pcmu));
    let mut events = leg.take_events().unwrap();
    // Every write to /dev/full fails as on a full disk.
    std::os::unix::fs::symlink("/dev/full", directory.path().join("full.wav")).unwrap();
    let recording = leg.record("full.wav".as_ref()).unwrap();
    let error = event(&mut events, |e| match e {
        MediaEvent::RecordingFailed { error } => Some(error.clone()),
        _ => None,
    })
    .await;
    assert!(
        error.contains("full.wav") && error.contains("No space left"),
        "{error}"
    );
    let before = phone.packet_count();
    until("audio goes on", || phone.packet_count() > before + 20).await;
    // Another recording on the same engine works.
    let good = leg.record("good.wav".as_ref()).unwrap();
    let before = phone.packet_count();
    until("half a second", || phone.packet_count() > before + 30).await;
    assert!(good.stop().await.duration_ms >= 400);
    assert!(recording.stop().await.error.is_some());
}

#[tokio::test]
async fn a_pause_is_silence_and_keeps_the_time_axis() {
    let (engine, _directory) = engine(1);
    let leg = engine.open_leg(leg_id("pause", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    leg.start(RtpParams::new(phone.addr, Codec::Pcmu));
    until("the call is up", || leg.stats().rx_packets > 10).await;
    let recording = leg.record("pause.wav".as_ref()).unwrap();
    let wait = async |frames: usize| {
        let before = phone.packet_count();
        until("some frames", || phone.packet_count() >= before + frames).await;
    };
    wait(30).await;
    recording.pause();
    wait(30).await;
    recording.resume();
    wait(30).await;
    let summary = recording.stop().await;
    assert!(summary.duration_ms >= 1_700, "{summary:?}");
    let left = Wav::read(&summary.path).unwrap().channel(0);
    let loud: Vec<bool> = left
        .chunks_exact(800)
        .map(|part| part.iter().any(|s| s.abs() > 5_000))
        .collect();
    let changes = loud.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert_eq!(changes, 2, "sound, silence, sound: {loud:?}");
}

#[tokio::test]
async fn the_file_is_complete_when_the_leg_closes() {
    let (engine, _directory) = engine(1);
    let leg = engine.open_leg(leg_id("close", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcma, 700.0);
    leg.start(RtpParams::new(phone.addr, Codec::Pcma));
    let recording = leg.record("close.wav".as_ref()).unwrap();
    until("a second", || phone.packet_count() > 50).await;
    leg.close();
    let summary = recording.finished().await;
    assert_eq!(summary.error, None);
    let wav = Wav::read(&summary.path).unwrap();
    assert_eq!(wav.duration_ms(), summary.duration_ms);
    assert!(share(&wav.channel(0)[4_000..7_200], 700.0) > 0.9);
}

#[tokio::test]
async fn wrong_places_are_refused_by_name() {
    let (engine, directory) = engine_with(1, |_| {});
    let leg = engine.open_leg(leg_id("where", 1)).unwrap();
    let outside = leg.record("../x.wav".as_ref()).unwrap_err();
    assert!(
        matches!(outside, RecordError::OutsideDirectory(_)),
        "{outside}"
    );
    std::fs::write(directory.path().join("file"), "").unwrap();
    let error = leg.record("file/x.wav".as_ref()).unwrap_err().to_string();
    assert!(error.contains("file/x.wav"), "{error}");
}

const CHILD_PATH: &str = "SWITCHHOOK_TEST_RECORD_TO";

/// Not a test of its own: the child of the next one, which is killed while it records.
#[tokio::test]
async fn child_records_until_killed() {
    let Ok(path) = std::env::var(CHILD_PATH) else {
        return;
    };
    let (engine, _directory) = engine(1);
    let leg = engine.open_leg(leg_id("child", 1)).unwrap();
    let phone = Phone::with_tone(leg.local_addr(), Codec::Pcmu, 700.0);
    leg.start(RtpParams::new(phone.addr, Codec::Pcmu));
    let _recording = leg.record(Path::new(&path)).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn the_header_is_true_even_after_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("killed.wav");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_until_killed", "--nocapture"])
        .env(CHILD_PATH, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // 2.5 s of audio and a header that counts at least two.
    until("the recording grows", || {
        std::fs::metadata(&path).is_ok_and(|file| file.len() > 80_000)
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();

    let judge = hound::WavReader::open(&path).expect("an independent reader accepts the header");
    assert!(judge.duration() >= 8_000, "{} samples", judge.duration());
    let samples: Vec<i16> = judge
        .into_samples()
        .map(|s| s.expect("the audio is there"))
        .collect();
    let left: Vec<i16> = samples.iter().step_by(2).copied().collect();
    assert!(share(&left[4_000..8_000], 700.0) > 0.9);
    let ours = Wav::read(&path).unwrap();
    assert!(!ours.truncated);
}
