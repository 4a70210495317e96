//! What is read of a received packet before anybody has looked at it.

use vortex_resources::net::{Flow, Labels};

/// Bytes behind which nothing says what flow a packet is of: headers of Ethernet and IPv4 with all
/// options, and two ports.
const ENOUGH: usize = 14 + 60 + 4;

/// The flow of a packet, and its labels.
pub(crate) fn flow(packet: &[u8]) {
    let flow = Flow::of(packet);
    if packet.len() > ENOUGH {
        assert_eq!(flow, Flow::of(&packet[..ENOUGH]));
    }
    let (order, core) = Labels::new([7; 16]).of(flow.as_ref());
    assert_eq!(order.0, core.0);
    assert_eq!(flow.is_none(), order.0 == 1);
    assert!((1..=512).contains(&order.0));
}
