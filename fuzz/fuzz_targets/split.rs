#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| oneport_fuzz::split(data));
