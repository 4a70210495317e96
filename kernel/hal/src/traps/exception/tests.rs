use super::*;

fn decode(vector: u64, error_code: u64, address: u64) -> Option<Exception> {
    let frame = Frame {
        vector,
        error_code,
        ..Frame::default()
    };
    Exception::decode(&frame, address)
}

#[test]
fn a_null_read_says_so() {
    let text = decode(14, 0, 0x10).expect("an exception").to_string();
    assert_eq!(
        text,
        "page fault (vector 14, error code 0x0): kernel tried to read from 0x10 (a null pointer), \
         which is not mapped"
    );
}

#[test]
fn the_bits_of_a_page_fault_are_decoded() {
    let write = decode(14, 0b00011, 0x5000).expect("an exception").to_string();
    assert!(write.ends_with("kernel tried to write to 0x5000, which does not allow that"));
    let execute = decode(14, 0b10101, 0x5000).expect("an exception").to_string();
    assert!(execute.ends_with("user tried to execute 0x5000, which does not allow that"));
    let reserved = decode(14, 0b01001, 0x5000).expect("an exception").to_string();
    assert!(reserved.ends_with("has reserved bits set in its page tables"));
}

#[test]
fn a_selector_error_names_table_and_entry() {
    let text = decode(13, 0x80 << 3 | 0b010, 0).expect("an exception").to_string();
    assert!(text.ends_with("entry 128 of the IDT"), "{text}");
    let plain = decode(13, 0, 0).expect("an exception").to_string();
    assert_eq!(plain, "general protection fault (vector 13, error code 0x0)");
}

#[test]
fn interrupts_are_not_exceptions() {
    assert!(decode(31, 0, 0).is_some());
    assert!(decode(32, 0, 0).is_none());
    assert!(decode(255, 0, 0).is_none());
}

#[test]
fn every_exception_has_a_name() {
    for vector in 0..32 {
        assert!(!decode(vector, 0, 0).expect("an exception").name().is_empty());
    }
}
