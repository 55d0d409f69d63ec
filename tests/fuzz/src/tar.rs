//! Tars made of arbitrary entries. Names come from a short list most of the
//! time, so that entries meet: the interesting defects are between two.

use arbitrary::{Arbitrary, Result, Unstructured};

/// Parts of names: those with a meaning, and few plain ones.
const PARTS: [&str; 18] = [
    "a",
    "b",
    "c",
    "a",
    "b",
    ".",
    "..",
    "",
    ".wh.a",
    ".wh.b",
    ".wh..wh..opq",
    ".wh.",
    ".wh..",
    "etc",
    "passwd",
    ".wh..wh.plnk",
    "outside",
    "\\040",
];
const KINDS: &[u8] = b"0000005555221346S7\0\0LKxgVZ";
const KEYS: [&str; 18] = [
    "path",
    "linkpath",
    "size",
    "uid",
    "gid",
    "mtime",
    "atime",
    "comment",
    "SCHILY.xattr.user.a",
    "SCHILY.xattr.trusted.overlay.opaque",
    "SCHILY.xattr.security.capability",
    "LIBARCHIVE.xattr.user.b",
    "GNU.sparse.major",
    "GNU.sparse.minor",
    "GNU.sparse.realsize",
    "GNU.sparse.map",
    "GNU.sparse.size",
    "GNU.sparse.numblocks",
];

/// One header with its data.
#[derive(Clone, Debug, Default)]
pub struct Item {
    pub kind: u8,
    pub name: Vec<u8>,
    pub link: Vec<u8>,
    pub mode: u32,
    pub data: Vec<u8>,
    pub records: Vec<(&'static str, Vec<u8>)>,
    /// A ustar header instead of a GNU one.
    pub ustar: bool,
    /// Bytes of the header that are replaced, before the checksum.
    pub patches: Vec<(u16, u8)>,
}

/// Entries with an end.
#[derive(Clone, Debug, Default)]
pub struct Tar(pub Vec<Item>);

fn name(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    if u.ratio(1, 12)? {
        return Arbitrary::arbitrary(u);
    }
    if u.ratio(1, 40)? {
        let length = u.int_in_range(90..=5000)?;
        return Ok("a/".repeat(length).into_bytes()[..length].to_vec());
    }
    let mut path = String::from(if u.ratio(1, 8)? { "/" } else { "" });
    for n in 0..u.int_in_range(1..=4)? {
        path += if n > 0 { "/" } else { "" };
        path += u.choose::<&str>(&PARTS)?;
    }
    Ok(path.into_bytes())
}

fn value(u: &mut Unstructured<'_>, key: &str) -> Result<Vec<u8>> {
    if matches!(key, "path" | "linkpath") {
        return name(u);
    }
    if u.ratio(1, 6)? {
        return Arbitrary::arbitrary(u);
    }
    Ok(match key {
        "GNU.sparse.map" => {
            let numbers: Vec<u16> = Arbitrary::arbitrary(u)?;
            numbers.iter().map(u16::to_string).collect::<Vec<_>>().join(",").into_bytes()
        }
        "GNU.sparse.major" => b"1".to_vec(),
        "GNU.sparse.minor" => b"0".to_vec(),
        _ if u.ratio(1, 8)? => u64::arbitrary(u)?.to_string().into_bytes(),
        _ => u.int_in_range(0..=3000)?.to_string().into_bytes(),
    })
}

impl<'a> Arbitrary<'a> for Item {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Item> {
        let mut item = Item {
            kind: if u.ratio(1, 30)? { u.arbitrary()? } else { *u.choose(KINDS)? },
            name: name(u)?,
            mode: u.int_in_range(0..=0o7777)?,
            ustar: u.arbitrary()?,
            ..Item::default()
        };
        if matches!(item.kind, b'1' | b'2') {
            item.link = name(u)?;
        }
        if !matches!(item.kind, b'1'..=b'6') || u.ratio(1, 30)? {
            let length = u.int_in_range(0..=1200)?;
            item.data = u.bytes(u.len().min(length))?.to_vec();
        }
        if matches!(item.kind, b'L' | b'K') {
            item.data = name(u)?;
            item.data.push(0);
        }
        if u.ratio(1, 4)? {
            for _ in 0..u.int_in_range(1..=5)? {
                let key = *u.choose(&KEYS)?;
                item.records.push((key, value(u, key)?));
            }
        }
        if u.ratio(1, 8)? {
            item.patches = u.arbitrary()?;
        }
        Ok(item)
    }
}

impl<'a> Arbitrary<'a> for Tar {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Tar> {
        let mut items = Vec::new();
        for _ in 0..u.int_in_range(0..=24)? {
            items.push(Item::arbitrary(u)?);
        }
        Ok(Tar(items))
    }
}

impl Item {
    #[must_use]
    pub fn new(kind: u8, name: &str, link: &str, data: &[u8]) -> Item {
        let (name, link) = (name.as_bytes().to_vec(), link.as_bytes().to_vec());
        Item { kind, name, link, mode: 0o755, data: data.to_vec(), ..Item::default() }
    }

    fn write(&self, to: &mut Vec<u8>) {
        if !self.records.is_empty() {
            let mut text = Vec::new();
            for (key, value) in &self.records {
                let rest = key.len() + value.len() + 3;
                let mut length = rest + 1;
                while length != rest + length.to_string().len() {
                    length += 1;
                }
                text.extend_from_slice(format!("{length} {key}=").as_bytes());
                text.extend_from_slice(value);
                text.push(b'\n');
            }
            Item::new(b'x', "pax", "", &text).write(to);
        }
        let mut block = [0; 512];
        let name = &self.name[..self.name.len().min(100)];
        block[..name.len()].copy_from_slice(name);
        let link = &self.link[..self.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        let mut number = |at: usize, width: usize, value: u64| {
            let text = format!("{value:0width$o}", width = width - 1);
            block[at..at + text.len()].copy_from_slice(text.as_bytes());
        };
        number(100, 8, u64::from(self.mode));
        number(108, 8, 0);
        number(116, 8, 0);
        number(124, 12, self.data.len() as u64);
        number(136, 12, 1_000_000_000);
        number(329, 8, 1);
        number(337, 8, 3);
        block[156] = self.kind;
        block[257..265].copy_from_slice(if self.ustar { b"ustar\x0000" } else { b"ustar  \0" });
        for (at, byte) in &self.patches {
            block[usize::from(*at) % 512] = *byte;
        }
        checksum(&mut block);
        to.extend_from_slice(&block);
        to.extend_from_slice(&self.data);
        to.resize(to.len().next_multiple_of(512), 0);
    }
}

impl Tar {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.iter().for_each(|item| item.write(&mut bytes));
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }
}

fn checksum(block: &mut [u8]) {
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Gives every header of a mutated tar its right checksum.
pub fn fix_checksums(tar: &mut [u8]) {
    let mut at = 0;
    while at + 512 <= tar.len() {
        let block = &mut tar[at..at + 512];
        if block.iter().any(|byte| *byte != 0) {
            checksum(block);
        }
        let digits = block[124..136].iter().take_while(|byte| matches!(byte, b'0'..=b'7'));
        let size = digits.fold(0_usize, |size, digit| (size << 3) | usize::from(digit - b'0'));
        at = at.saturating_add(512).saturating_add(size.next_multiple_of(512));
    }
}
