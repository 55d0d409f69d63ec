//! Plans: any bytes are read without a defect, what is written is read back.

#![no_main]

use arbitrary::{Arbitrary, Unstructured};
use libctr::fuzzing::launch;
use libctr_helper::fault::Fault;
use libctr_helper::plan::{Field, Kind, Plan};

/// Reads all that a plan has in all ways.
fn read(bytes: &[u8]) {
    let Some(plan) = Plan::new(bytes) else { return };
    for field in Field::ALL {
        let _ = plan.get(*field);
    }
    for kind in Kind::ALL {
        let _ = plan.of(*kind).count();
    }
    for record in plan.records() {
        let mut body = record.body;
        while let Some(length) = body.u32() {
            let _ = body.bytes(usize::try_from(length % 64).unwrap());
        }
        let mut body = record.body;
        while body.u64().is_some() {}
        let mut body = record.body;
        while let Some(text) = body.string() {
            assert!(!text.to_bytes().contains(&0));
        }
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    read(data);
    let mut with_header = data.to_vec();
    if let Some(start) = with_header.get_mut(..12) {
        // Magic, version and length are the first thing to be refused.
        let length = u32::try_from(data.len()).unwrap().to_le_bytes();
        start[..4].copy_from_slice(&libctr_helper::plan::MAGIC.to_le_bytes());
        start[4..8].copy_from_slice(&libctr_helper::plan::VERSION.to_le_bytes());
        start[8..].copy_from_slice(&length);
        read(&with_header);
    }
    let document = launch::document(&with_header);
    assert_eq!(document.is_some(), Plan::new(&with_header).is_some());
    if let Some(fault) = data.first_chunk::<8>() {
        let _ = launch::sentence(&with_header, Fault::from_bytes(*fault));
    }
    let mut u = Unstructured::new(data);
    let (mut fields, mut records) = (Vec::new(), Vec::new());
    for field in Field::ALL {
        if let Ok(Some(value)) = Option::<u64>::arbitrary(&mut u) {
            // The flags are written bit by bit.
            if *field != Field::Flags && value != Field::ABSENT {
                fields.push((*field, value));
            }
        }
    }
    while !u.is_empty() && records.len() < 300 {
        let Ok(kind) = u.choose(Kind::ALL).copied() else { break };
        let Ok(payload) = Vec::<u8>::arbitrary(&mut u) else { break };
        records.push((kind, payload));
    }
    let bytes = launch::write(&fields, &records);
    let plan = Plan::new(&bytes).expect("what is written is a plan");
    for field in Field::ALL.iter().filter(|field| **field != Field::Flags) {
        let wanted = fields.iter().find(|(known, _)| known == field).map(|(_, value)| *value);
        assert_eq!(plan.get(*field), wanted);
    }
    let mut found = plan.records();
    for (index, (kind, payload)) in records.iter().enumerate() {
        let mut record = found.next().expect("a record");
        assert_eq!((usize::from(record.index), record.kind), (index, *kind));
        let length = record.body.u32().and_then(|length| usize::try_from(length).ok());
        assert_eq!(length.and_then(|length| record.body.bytes(length)), Some(&payload[..]));
    }
    assert!(found.next().is_none());
    for cut in [1, 8, 9] {
        assert!(Plan::new(&bytes[..bytes.len() - cut]).is_none());
    }
    let _ = launch::document(&bytes);
});
