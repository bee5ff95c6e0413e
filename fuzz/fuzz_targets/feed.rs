#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| fluxwatch::source::fuzz::feed(octets));
