//! Packets as they are on the wire, for who sends what no socket would.

use std::net::SocketAddrV4;

/// Bytes of a header of IPv4 and of TCP, without options.
const HEADER: usize = 20;

/// An IPv4 packet with a TCP segment that asks for a connection (RFC 791, RFC 9293).
#[must_use]
pub fn syn(from: SocketAddrV4, to: SocketAddrV4, sequence: u32) -> [u8; 2 * HEADER] {
    let mut packet = [0; 2 * HEADER];
    let (ip, tcp) = packet.split_at_mut(HEADER);
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&(2 * HEADER as u16).to_be_bytes());
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&from.ip().octets());
    ip[16..20].copy_from_slice(&to.ip().octets());
    let sum = checksum(&[ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    tcp[0..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence.to_be_bytes());
    // Five words of header; SYN; a window.
    tcp[12] = 5 << 4;
    tcp[13] = 1 << 1;
    tcp[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
    let pseudo = [0, 6, 0, HEADER as u8];
    let sum = checksum(&[&ip[12..20], &pseudo, tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// The Internet checksum (RFC 1071) of parts with an even number of bytes each.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_is_what_a_receiver_expects() {
        let from = "10.77.0.99:1024".parse().unwrap();
        let to = "10.77.0.2:80".parse().unwrap();
        let packet = syn(from, to, 0x1234_5678);
        // The checksum over what has it is 0.
        assert_eq!(checksum(&[&packet[..20]]), 0);
        assert_eq!(
            checksum(&[&packet[12..20], &[0, 6, 0, 20], &packet[20..]]),
            0
        );
        assert_eq!(packet[20..24], [4, 0, 0, 80]);
        assert_eq!(packet[33], 2);
    }
}
