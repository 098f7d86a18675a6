#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchhook_media::fuzzing::fuzz_opus(data));
