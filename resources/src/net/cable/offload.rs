//! What an interface does to a frame before it sends it: checksums and segmentation of TCP over
//! IPv4, as a device would.

use alloc::vec::Vec;

use crate::net::interface::{Checksum, ETHERNET, Offload};

/// Does what is left to do. The frames that go out, each with what the receiving device may say.
pub(super) fn perform(bytes: Vec<u8>, offload: Offload) -> Vec<(Vec<u8>, Checksum)> {
    match offload {
        Offload::Nothing => alloc::vec![(bytes, Checksum::Unknown)],
        Offload::Checksum { start, field } => {
            alloc::vec![(summed(bytes, start.into(), field.into()), Checksum::Good)]
        }
        Offload::Segmentation { start, mss } => segments(&bytes, start.into(), mss.into()),
    }
}

/// The sum of 16-bit words in ones' complement (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| {
        let low = word.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([word[0], low]))
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// With the checksum of what is from `start` on at `field`.
fn summed(mut bytes: Vec<u8>, start: usize, field: usize) -> Vec<u8> {
    let checksum = !sum(&bytes[start..]);
    put(&mut bytes, field, &checksum.to_be_bytes());
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

/// Cuts a frame; the TCP header begins at `start`.
fn segments(bytes: &[u8], start: usize, mss: usize) -> Vec<(Vec<u8>, Checksum)> {
    const FIN_PSH: u8 = 0b1001;
    let head = start + usize::from(bytes[start + 12] >> 4) * 4;
    let (headers, payload) = bytes.split_at(head);
    let ip = ETHERNET;
    let identification = word(headers, ip + 4);
    let sequence = u32::from(word(headers, start + 4)) << 16 | u32::from(word(headers, start + 6));
    let whole = (bytes.len() - start) as u16;
    let count = payload.len().div_ceil(mss).max(1);
    let cut = |number: usize| {
        let from = number * mss;
        let part = &payload[from..payload.len().min(from + mss)];
        let mut frame = [headers, part].concat();
        let length = (frame.len() - ip) as u16;
        put(&mut frame, ip + 2, &length.to_be_bytes());
        let id = identification.wrapping_add(number as u16);
        put(&mut frame, ip + 4, &id.to_be_bytes());
        put(&mut frame, ip + 10, &[0; 2]);
        let checksum = !sum(&frame[ip..start]);
        put(&mut frame, ip + 10, &checksum.to_be_bytes());
        let next = sequence.wrapping_add(from as u32);
        put(&mut frame, start + 4, &next.to_be_bytes());
        if number + 1 < count {
            frame[start + 13] &= !FIN_PSH;
        }
        // The pseudo-header has another length now.
        let length = (frame.len() - start) as u16;
        let words = [word(headers, start + 16), !whole, length];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        put(&mut frame, start + 16, &sum(&bytes).to_be_bytes());
        (summed(frame, start, start + 16), Checksum::Good)
    };
    (0..count).map(cut).collect()
}
