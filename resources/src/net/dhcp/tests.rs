use proptest::prelude::*;
use std::vec::Vec;

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const SERVER_AT: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// What a server answers to a message.
fn answer(message: &[u8], kind: DhcpMessageType) -> Vec<u8> {
    let packet = DhcpPacket::new_checked(message).expect("it is long enough");
    let asked = DhcpRepr::parse(&packet).expect("it is a message");
    let repr = DhcpRepr {
        message_type: kind,
        your_ip: ADDRESS,
        router: Some(SERVER_AT),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        server_identifier: Some(SERVER_AT),
        lease_duration: Some(1000),
        requested_ip: None,
        client_identifier: None,
        parameter_request_list: None,
        max_size: None,
        ..asked
    };
    let mut bytes = std::vec![0; repr.buffer_len()];
    let mut packet = DhcpPacket::new_unchecked(&mut bytes[..]);
    repr.emit(&mut packet).expect("there is room");
    bytes
}

fn bound() -> Client {
    let mut client = Client::new(MAC, 7, Instant(0));
    let discover = client.expired(Instant(0)).send.expect("it asks");
    let offer = answer(&discover, DhcpMessageType::Offer);
    let request = client.heard(&offer, Instant(10)).send.expect("it takes it");
    let ack = answer(&request, DhcpMessageType::Ack);
    let step = client.heard(&ack, Instant(20));
    let settings = Settings {
        address: ADDRESS,
        prefix: 24,
        gateway: Some(SERVER_AT),
    };
    assert_eq!(step.configure, Some(Some(settings)));
    client
}

#[test]
fn an_address_is_had_renewed_and_lost() {
    let mut client = bound();
    assert_eq!(client.due(), Instant(20 + 500 * SECOND));
    let renew = client.expired(client.due()).send.expect("it renews");
    let ack = answer(&renew, DhcpMessageType::Ack);
    let at = Instant(600 * SECOND);
    assert!(client.heard(&ack, at).configure.is_some());
    assert_eq!(client.due(), at + 500 * SECOND);
    // Nobody answers any more.
    let mut lost = None;
    for _ in 0..100 {
        let step = client.expired(client.due());
        if step.configure.is_some() {
            lost = step.configure;
            break;
        }
        assert!(step.send.is_some());
    }
    assert_eq!(lost, Some(None));
}

#[test]
fn without_an_answer_it_asks_less_and_less_often() {
    let mut client = Client::new(MAC, 7, Instant(0));
    let mut last = Instant(0);
    for attempt in 0..10 {
        let at = client.due();
        assert!(client.expired(at).send.is_some());
        let wait = client.due().since(at);
        assert_eq!(wait, (FIRST_WAIT << attempt.min(5)).min(MOST_WAIT));
        last = at;
    }
    assert!(last > Instant(100 * SECOND));
}

#[test]
fn no_means_to_begin_anew() {
    let mut client = bound();
    let renew = client.expired(client.due()).send.expect("it renews");
    let nak = answer(&renew, DhcpMessageType::Nak);
    let step = client.heard(&nak, Instant(600 * SECOND));
    assert_eq!(step.configure, Some(None));
    assert_eq!(client.state, State::Selecting);
}

proptest! {
    #[test]
    fn anything_may_be_heard(bytes in prop::collection::vec(any::<u8>(), 0..400), at in 0_usize..300) {
        let mut client = Client::new(MAC, 7, Instant(0));
        let discover = client.expired(Instant(0)).send.expect("it asks");
        client.heard(&bytes, Instant(1));
        // A right answer with something wrong in it.
        let mut offer = answer(&discover, DhcpMessageType::Offer);
        for (place, byte) in offer.iter_mut().skip(at).zip(&bytes) {
            *place = *byte;
        }
        client.heard(&offer, Instant(2));
    }
}
