//! Faults, messages and control values: decoding is total, and the meaning
//! survives a second trip.

#![no_main]

use libctr::fuzzing::launch;
use libctr_helper::fault::Fault;
use libctr_helper::message::{Control, Message};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Some(bytes) = data.first_chunk::<8>() {
        let fault = Fault::from_bytes(*bytes);
        assert_eq!(Fault::from_bytes(fault.to_bytes()), fault);
        let sentence = launch::sentence(&data[8..], fault);
        assert!(!sentence.is_empty() && !sentence.contains('\n'));
    }
    if let Some(bytes) = data.first_chunk::<{ Message::SIZE }>() {
        let message = Message::from_bytes(*bytes);
        assert_eq!(Message::from_bytes(message.to_bytes()), message);
    }
    if let Some(bytes) = data.first_chunk::<4>() {
        let value = i32::from_le_bytes(*bytes);
        if let Some(control) = Control::from_value(value) {
            assert_eq!(control.to_value(), value);
        }
    }
});
