//! Bitmaps of blocks and inodes: a set bit is a used one.

/// Whether bit `index` is set.
pub(crate) fn is_set(bits: &[u8], index: u32) -> bool {
    bits[index as usize / 8] & (1 << (index % 8)) != 0
}

/// Sets bit `index`.
pub(crate) fn set(bits: &mut [u8], index: u32) {
    bits[index as usize / 8] |= 1 << (index % 8);
}

/// Clears bit `index`.
pub(crate) fn clear(bits: &mut [u8], index: u32) {
    bits[index as usize / 8] &= !(1 << (index % 8));
}

/// The first clear bit of `from..limit` that is not `busy`.
pub(crate) fn first_clear(
    bits: &[u8],
    from: u32,
    limit: u32,
    busy: impl Fn(u32) -> bool,
) -> Option<u32> {
    let mut index = from;
    while index < limit {
        if index.is_multiple_of(8) && bits[index as usize / 8] == 0xff {
            index += 8;
            continue;
        }
        if !is_set(bits, index) && !busy(index) {
            return Some(index);
        }
        index += 1;
    }
    None
}

/// The first bit of `from..limit` where eight clear ones begin, aligned, none of them `busy`.
pub(crate) fn first_clear_byte(
    bits: &[u8],
    from: u32,
    limit: u32,
    busy: impl Fn(u32) -> bool,
) -> Option<u32> {
    (from.div_ceil(8)..limit / 8)
        .filter(|byte| bits[*byte as usize] == 0)
        .map(|byte| byte * 8)
        .find(|first| !(*first..first + 8).any(&busy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clear_bits_are_found() {
        let mut bits = [0xff; 8];
        assert_eq!(first_clear(&bits, 0, 64, |_| false), None);
        clear(&mut bits, 13);
        clear(&mut bits, 40);
        assert_eq!(first_clear(&bits, 0, 64, |_| false), Some(13));
        assert_eq!(first_clear(&bits, 0, 64, |bit| bit == 13), Some(40));
        assert_eq!(first_clear(&bits, 14, 40, |_| false), None);
        bits[5] = 0;
        assert_eq!(first_clear_byte(&bits, 0, 64, |_| false), Some(40));
        assert_eq!(first_clear_byte(&bits, 41, 64, |_| false), None);
        assert_eq!(first_clear_byte(&bits, 0, 64, |bit| bit == 47), None);
        set(&mut bits, 40);
        assert_eq!(first_clear_byte(&bits, 0, 64, |_| false), None);
    }
}
