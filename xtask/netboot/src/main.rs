//! `vortex-netboot`: the first file that firmware loads from a network, for networks in which one server
//! gives addresses and another says what to boot.
//!
//! The boot loader that comes next asks the server of the DHCP acknowledgement for its files. That is the
//! wrong one if a proxy DHCP server named this file; so the proxy's answer takes the acknowledgement's
//! place. Where there is one server only, nothing changes.
//!
//! Invariant: each protocol that is opened here is closed before the loader starts, which opens the same.
#![no_main]
#![no_std]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use uefi::boot::{self, LoadImageSource};
use uefi::prelude::*;
use uefi::proto::device_path::{DevicePath, LoadedImageDevicePath};
use uefi::proto::network::IpAddress;
use uefi::proto::network::pxe::{BaseCode, DhcpV4Packet, Mode, Packet};
use uefi::{CStr8, cstr8, println};

/// The boot loader's name at the server.
const LOADER: &CStr8 = cstr8!("bootloader");

#[entry]
fn main() -> Status {
    match chain() {
        Ok(()) => Status::SUCCESS,
        Err(error) => {
            println!("netboot: cannot load the boot loader: {error}");
            error.status()
        }
    }
}

/// Loads the boot loader from where this program came from, and starts it.
fn chain() -> uefi::Result {
    let own = boot::open_protocol_exclusive::<LoadedImageDevicePath>(boot::image_handle())?;
    let loader = load(&own)?;
    let source = LoadImageSource::FromBuffer {
        buffer: &loader,
        // The loader finds its network interface by it.
        file_path: Some(&own),
    };
    let image = boot::load_image(boot::image_handle(), source)?;
    drop(own);
    drop(loader);
    boot::start_image(image)
}

/// The boot loader's bytes, from the server that the loader will be asking for all else.
fn load(own: &DevicePath) -> uefi::Result<Vec<u8>> {
    let interface = boot::locate_device_path::<BaseCode>(&mut &*own)?;
    let mut network = boot::open_protocol_exclusive::<BaseCode>(interface)?;
    // SAFETY: the reference is to a packet, which is bytes and plain data of any value, owns nothing and
    // has nothing to drop; so a copy of it is one, too.
    let answer = unsafe { core::ptr::read(answer(network.mode())) };
    let address = server_of(&answer);
    let [a, b, c, d] = address;
    println!("netboot: booting from {a}.{b}.{c}.{d}");
    network.set_packets(
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        Some(&answer),
        None,
        None,
        None,
        None,
    )?;
    let server = IpAddress::new_v4(address);
    let size = network.tftp_get_file_size(&server, LOADER)?;
    let size = usize::try_from(size).map_err(|_| Status::OUT_OF_RESOURCES)?;
    let mut bytes = vec![0; size];
    network.tftp_read_file(&server, LOADER, Some(&mut bytes))?;
    Ok(bytes)
}

/// The answer that named this file: a boot server's, else the proxy's, else the DHCP server's.
fn answer(mode: &Mode) -> &Packet {
    let others = [
        (mode.pxe_reply_received(), mode.pxe_reply()),
        (mode.proxy_offer_received(), mode.proxy_offer()),
    ];
    let named = |(received, packet): &(bool, &Packet)| *received && server_of(packet) != [0; 4];
    let other = others.into_iter().find(named);
    other.map_or_else(|| mode.dhcp_ack(), |(_, packet)| packet)
}

/// The server that a packet names for the next file (`siaddr`, RFC 2131, section 2).
fn server_of(packet: &Packet) -> [u8; 4] {
    let packet: &DhcpV4Packet = packet.as_ref();
    packet.bootp_si_addr
}
