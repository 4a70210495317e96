//! The x86-64 hardware: cores, paging, traps, timers and logging.
#![cfg_attr(target_os = "none", no_std)]
