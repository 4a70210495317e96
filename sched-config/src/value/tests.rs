//! What each value accepts, what it refuses and why, and that it is written as it was read.

use alloc::string::ToString;

use super::*;

fn wrong<T: core::str::FromStr<Err = ValueError>>(text: &str) -> &'static str {
    match text.parse::<T>() {
        Ok(_) => "accepted",
        Err(error) => error.wrong,
    }
}

#[test]
fn shares_are_positive_decimal_numbers() {
    let thousandths = |text: &str| text.parse::<Share>().map(Share::thousandths).ok();
    assert_eq!(thousandths("20"), Some(20_000));
    assert_eq!(thousandths("33.3"), Some(33_300));
    assert_eq!(thousandths("33.3335"), Some(33_334));
    assert_eq!(thousandths("33.33349999"), Some(33_333));
    assert_eq!(thousandths("0.001"), Some(1));
    assert_eq!(thousandths("0.0005"), Some(1));
    assert_eq!(thousandths("0020"), Some(20_000));
    assert_eq!(thousandths("10000"), Some(10_000_000));
    for (text, reason) in [
        ("0", "is zero"),
        ("0.0", "is zero"),
        ("0.0004", "is too small"),
        ("-1", "is negative"),
        ("-0.5", "is negative"),
        ("NaN", "is not a number"),
        ("inf", "is not a number"),
        ("1e3", "is not a number"),
        ("+1", "is not a number"),
        ("20%", "is not a number"),
        ("33,3", "is not a number"),
        (".5", "is not a number"),
        ("5.", "is not a number"),
        ("1.2.3", "is not a number"),
        ("٣", "is not a number"),
        ("", "is not a number"),
        ("10000.001", "is too large"),
        ("99999999999999999999999", "is too large"),
        ("18446744073709551615", "is too large"),
    ] {
        assert_eq!(wrong::<Share>(text), reason, "{text}");
    }
}

#[test]
fn shares_scale_without_overflow_and_stay_in_range() {
    let share = |text: &str| text.parse::<Share>().expect("a share");
    assert_eq!(share("50").scaled(33, 100), share("16.5"));
    assert_eq!(share("1").scaled(1, 3), share("0.333"));
    assert_eq!(Share::MAX.scaled(u64::MAX, 1), Share::MAX);
    assert_eq!(Share::MIN.scaled(0, 0), Share::MIN);
}

#[test]
fn whole_numbers_keep_to_their_range() {
    assert_eq!("7".parse(), Ok(Core(7)));
    assert_eq!(wrong::<Core>("65536"), "is too large");
    assert_eq!(wrong::<Core>("-1"), "is negative");
    assert_eq!(wrong::<Core>("0x1"), "is not a whole number");
    assert_eq!(wrong::<Microseconds>("0"), "is zero");
    assert_eq!(wrong::<Microseconds>("86400000001"), "is too large");
    assert_eq!(wrong::<Priority>("256"), "is too large");
    assert!(Priority(0).goes_before(Priority::DEFAULT));
}

#[test]
fn memory_has_units() {
    let bits = |text: &str| text.parse::<BitRate>().map(BitRate::get).ok();
    assert_eq!(bits("100Mbit"), Some(100_000_000));
    assert_eq!(bits("2500 kbit"), Some(2_500_000));
    assert_eq!(bits("1000"), Some(1000));
    for text in ["1kbit", "1Gbit", "1001", "1000Gbit"] {
        let rate: BitRate = text.parse().expect(text);
        assert_eq!(rate.to_string(), text);
    }
    assert_eq!(wrong::<BitRate>("999"), "is too small");
    assert_eq!(wrong::<BitRate>("1001Gbit"), "is too large");
    assert_eq!(wrong::<BitRate>("10MB"), "is not a whole number");
    let bytes = |text: &str| text.parse::<Bytes>().map(Bytes::get).ok();
    assert_eq!(bytes("4096"), Some(4096));
    assert_eq!(bytes("64MiB"), Some(64 << 20));
    assert_eq!(bytes("64 MiB"), Some(64 << 20));
    assert_eq!(bytes("256TiB"), Some(1 << 48));
    assert_eq!(wrong::<Bytes>("257TiB"), "is too large");
    assert_eq!(wrong::<Bytes>("0KiB"), "is zero");
    assert_eq!(wrong::<Bytes>("64MB"), "is not a whole number");
}

#[test]
fn what_is_written_is_what_was_read() {
    for text in ["20", "33.3", "0.001", "10000", "12.05"] {
        assert_eq!(text.parse::<Share>().expect(text).to_string(), text);
    }
    for text in ["64MiB", "1KiB", "1023", "1TiB"] {
        assert_eq!(text.parse::<Bytes>().expect(text).to_string(), text);
    }
    for text in ["dhcp", "10.0.2.15/24"] {
        assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
    }
    for text in ["forever", "250"] {
        assert_eq!(text.parse::<Ttl>().expect(text).to_string(), text);
    }
    for policy in LoadSharingPolicy::ALL {
        assert_eq!(policy.name().parse(), Ok(*policy));
    }
}

#[test]
fn an_unknown_word_is_told_the_known_ones() {
    let error = "cycles".parse::<Metric>().expect_err("no metric");
    assert_eq!(error.wrong, "is not a metric");
    assert_eq!(
        error.expected,
        "one of `cpu`, `bytes`, `requests`, `memory`"
    );
}

#[test]
fn addresses_are_those_of_hosts() {
    for (text, reason) in [
        ("10.0.2.15/24", "accepted"),
        ("10.0.0.0/31", "accepted"),
        ("10.0.2.15", "has no prefix"),
        ("10.0.2.15/0", "has a prefix that leaves no network"),
        ("10.0.2.15/32", "has a prefix that leaves no network"),
        ("10.0.2.15/999", "has a prefix that leaves no network"),
        ("10.0.2.15/x", "has a prefix that is not a number"),
        ("10.0.2.256/24", "is not an IPv4 address"),
        (
            "10.0.2.0/24",
            "is the address of the network itself or its broadcast address",
        ),
        (
            "10.0.2.255/24",
            "is the address of the network itself or its broadcast address",
        ),
        ("127.0.0.1/8", "is a loopback address"),
        ("224.0.0.1/4", "is a multicast address"),
        ("255.255.255.255/8", "is a reserved address"),
        ("0.0.0.1/8", "is in 0.0.0.0/8, which no host has"),
        ("auto", "is not an address"),
    ] {
        assert_eq!(wrong::<Address>(text), reason, "{text}");
    }
    assert_eq!(wrong::<Gateway>("10.0.2"), "is not an IPv4 address");
    let address: Address = "10.0.2.15/24".parse().expect("an address");
    assert!(address.is_neighbour(Ipv4Addr::new(10, 0, 2, 2)));
    assert!(!address.is_neighbour(Ipv4Addr::new(10, 0, 3, 2)));
}

use core::net::Ipv4Addr;
