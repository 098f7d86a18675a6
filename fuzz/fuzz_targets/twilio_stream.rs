#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchhook_adapters::fuzzing::fuzz_twilio_stream(data));
