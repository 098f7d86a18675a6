#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchhook_sip::fuzzing::fuzz_refer(data));
