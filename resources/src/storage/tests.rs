use super::*;

#[test]
fn disks_are_named_by_letters() {
    let names = [0, 1, 25, 26, 27, 701, 702].map(disk_name);
    assert_eq!(
        names,
        ["sda", "sdb", "sdz", "sdaa", "sdab", "sdzz", "sdaaa"]
    );
}
