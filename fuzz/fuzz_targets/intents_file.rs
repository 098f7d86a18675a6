#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchhook_conversation::scripted::fuzz_intents_file(data));
