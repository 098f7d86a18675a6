#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| switchhook_adapters::fuzzing::fuzz_tool_call_deltas(data));
