//! `cargo xtask pxe`: boots real machines over the network.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::boot_image::BootImage;
use xtask::boot_server::{self, BootServer, Range, Service};
use xtask::{ui, workspace};

/// Serve the boot folder to machines that boot over the network
///
/// Serves what `cargo xtask image` made, by DHCP and TFTP, to machines with 64-bit UEFI at one network
/// interface, until Ctrl-C; says who asks and what they get. It gives out no addresses unless it is told
/// to, but stands beside the network's own DHCP server and says what to boot. Takes root's rights.
/// docs/deploy.md walks through it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The network interface
    #[arg(long, value_name = "IF")]
    interface: String,
    /// Give out these addresses, too: only where no other DHCP server is
    #[arg(long, value_name = "FIRST-LAST")]
    dhcp: Option<Range>,
    /// The folder with the images, as `cargo xtask image` made them [default: out/ in the source tree]
    #[arg(long, value_name = "DIR")]
    image_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let dir = args.image_dir.clone();
    let image = BootImage::in_dir(dir.unwrap_or_else(|| workspace::root().join("out")));
    let mut server = BootServer::start(&Service {
        folder: image.pxe(),
        interface: args.interface.clone(),
        range: args.dhcp,
        launcher: Vec::new(),
    })?;
    say_what_is_served(args, &server, &image);
    while let Some(event) = server.next_event()? {
        boot_server::show(&event);
    }
    bail!("dnsmasq has ended");
}

fn say_what_is_served(args: &Args, server: &BootServer, image: &BootImage) {
    let interface = server.interface();
    let (name, address) = (&interface.name, interface.address);
    ui::header(&format!(
        "serving {} at {name} ({address}), until Ctrl-C",
        image.pxe().display()
    ));
    ui::done(&match &args.dhcp {
        Some(range) => format!("addresses: {range}"),
        None => {
            "addresses: from the network's own DHCP server (--dhcp FIRST-LAST if there is none)"
                .to_owned()
        }
    });
    if !interface.has_link {
        ui::warn(&format!("{name} has no link: is there a cable in it?"));
    }
}
