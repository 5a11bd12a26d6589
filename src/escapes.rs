//! All ways to read a text that may be escaped. `secret` uses them to find a secret that a server echoes in an escaped
//! form.
//!
//! It is unknown how often a text was escaped, in which form, and whether a `%` in it is an escape. So this module does
//! not decode the text. Instead, each position has several [`Reading`]s: the byte itself, and the character of each
//! escape that begins there. The parts of an escape can be escaped, too, so an escape is sought in the readings of the
//! following positions. For example, the first position of `%252B` has the readings `%`, `%` (for `%25`) and `+` (for
//! all).

use crate::wipe::Zeroizing;

/// The largest number of readings of one position. Each layer of escapes adds about one.
const MAX_READINGS: usize = 16;

/// One way to read the text from a position to `end`: as one byte, or as the bytes of one character.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    bytes: [u8; 4],
    length: u8,
    pub(crate) end: u32,
}

impl zeroize::DefaultIsZeroes for Reading {}

impl Reading {
    fn byte(byte: u8, end: u32) -> Reading {
        Reading { bytes: [byte, 0, 0, 0], length: 1, end }
    }

    fn char(code: u32, end: u32) -> Option<Reading> {
        let mut bytes = [0; 4];
        let length = char::from_u32(code)?.encode_utf8(&mut bytes).len();
        Some(Reading { bytes, length: length as u8, end })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

/// All readings of all positions of a text.
pub(crate) struct Readings<'a> {
    text: &'a [u8],
    /// The readings of escapes, from the end of the text to its beginning. Wiped, because they can hold a secret.
    escapes: Zeroizing<Vec<Reading>>,
    /// For each position, the range of its readings in `escapes`.
    ranges: Vec<(u32, u32)>,
}

impl<'a> Readings<'a> {
    /// The time is proportional to the length of the text.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        let begins_escape = |byte: &u8| matches!(byte, b'%' | b'&' | b'\\');
        // One allocation: a growing vector would leave copies behind.
        let capacity = text.iter().filter(|byte| begins_escape(byte)).count() * MAX_READINGS;
        let escapes = Zeroizing::new(Vec::with_capacity(capacity));
        let mut readings = Readings { text, escapes, ranges: vec![(0, 0); text.len()] };
        for position in (0..text.len()).rev() {
            if begins_escape(&text[position]) {
                readings.find_escapes(position);
            }
        }
        readings
    }

    /// The readings of a position. The end of the text has none.
    pub(crate) fn at(&self, position: u32) -> impl Iterator<Item = Reading> {
        let byte = self.text.get(position as usize).map(|byte| Reading::byte(*byte, position + 1));
        let (from, to) = self.ranges.get(position as usize).copied().unwrap_or_default();
        byte.into_iter().chain(self.escapes[from as usize..to as usize].iter().copied())
    }

    /// Finds the escapes that begin at a position. All later positions must have their readings.
    fn find_escapes(&mut self, position: usize) {
        let mut found = Zeroizing::new(Vec::with_capacity(MAX_READINGS));
        found.push(Reading::byte(self.text[position], position as u32 + 1));
        let mut next = 0;
        while let Some(reading) = found.get(next).copied() {
            next += 1;
            let mut add = |reading| {
                if found.len() < MAX_READINGS && !found.contains(&reading) {
                    found.push(reading);
                }
            };
            match reading.bytes() {
                b"%" => self.percent_escapes(reading.end, &mut add),
                b"\\" => self.backslash_escapes(reading.end, &mut add),
                b"&" => self.html_entities(reading.end, &mut add),
                _ => {}
            }
        }
        let from = self.escapes.len() as u32;
        self.escapes.extend_from_slice(&found[1..]);
        self.ranges[position] = (from, self.escapes.len() as u32);
    }

    /// `%2B`, and `%u002B` of JavaScript's `escape`.
    fn percent_escapes(&self, after: u32, add: &mut impl FnMut(Reading)) {
        for (byte, end) in self.numbers(after, 16, 2, 2) {
            add(Reading::byte(byte as u8, end));
        }
        self.utf16_escapes(after, b"%", add);
    }

    /// The escapes of JSON, `\x2B` of JavaScript and Python, and a backslash before any other punctuation.
    fn backslash_escapes(&self, after: u32, add: &mut impl FnMut(Reading)) {
        for reading in self.at(after) {
            match reading.bytes() {
                b"b" => add(Reading::byte(8, reading.end)),
                b"f" => add(Reading::byte(12, reading.end)),
                b"n" => add(Reading::byte(b'\n', reading.end)),
                b"r" => add(Reading::byte(b'\r', reading.end)),
                b"t" => add(Reading::byte(b'\t', reading.end)),
                b"x" => {
                    for (code, end) in self.numbers(reading.end, 16, 2, 2) {
                        // A character in JavaScript, and a byte in Python.
                        Reading::char(code, end).map(&mut *add);
                        add(Reading::byte(code as u8, end));
                    }
                }
                [symbol] if symbol.is_ascii_punctuation() => add(reading),
                _ => {}
            }
        }
        self.utf16_escapes(after, b"\\", add);
    }

    /// `u002B` after `introducer`. A character beyond 16 bits is two such escapes, one for each surrogate.
    fn utf16_escapes(&self, after: u32, introducer: &[u8], add: &mut impl FnMut(Reading)) {
        for (unit, end) in self.utf16_units(after) {
            if let 0xd800..=0xdbff = unit {
                for second in self.spelled(end, introducer).into_iter().flat_map(|end| self.utf16_units(end)) {
                    if let (low @ 0xdc00..=0xdfff, end) = second {
                        Reading::char(0x10000 + ((unit & 0x3ff) << 10) + (low & 0x3ff), end).map(&mut *add);
                    }
                }
            } else {
                Reading::char(unit, end).map(&mut *add);
            }
        }
    }

    fn utf16_units(&self, after: u32) -> Vec<(u32, u32)> {
        self.spelled(after, b"u").into_iter().flat_map(|end| self.numbers(end, 16, 4, 4)).collect()
    }

    /// `&#43;`, `&#x2B;` and `&plus;`.
    fn html_entities(&self, after: u32, add: &mut impl FnMut(Reading)) {
        for start in self.spelled(after, b"#") {
            let hex = [b"x", b"X"].into_iter().flat_map(|x| self.spelled(start, x));
            let hex = hex.flat_map(|start| self.numbers(start, 16, 1, 8));
            for (code, end) in hex.chain(self.numbers(start, 10, 1, 8)) {
                for end in self.spelled(end, b";") {
                    Reading::char(code, end).map(&mut *add);
                }
            }
        }
        for first in self.at(after) {
            for (name, byte) in ENTITIES.iter().filter(|(name, _)| name.as_bytes()[..1] == *first.bytes()) {
                for end in self.spelled(first.end, &name.as_bytes()[1..]) {
                    for end in self.spelled(end, b";") {
                        add(Reading::byte(*byte, end));
                    }
                }
            }
        }
    }

    /// The ends of all readings of the text from `start` as `word`.
    fn spelled(&self, start: u32, word: &[u8]) -> Vec<u32> {
        let mut ends = vec![start];
        for letter in word {
            ends = self.following(&ends, |reading| (reading.bytes() == [*letter]).then_some(reading.end));
            if ends.is_empty() {
                break;
            }
        }
        ends
    }

    /// All readings of the text from `start` as a number of `min_digits` to `max_digits` digits, with their ends.
    fn numbers(&self, start: u32, radix: u32, min_digits: usize, max_digits: usize) -> Vec<(u32, u32)> {
        let (mut numbers, mut longer) = (Vec::new(), vec![(0, start)]);
        for length in 1..=max_digits {
            let digit = |reading: &Reading| match reading.bytes() {
                [byte] => char::from(*byte).to_digit(radix),
                _ => None,
            };
            let step = |(number, end): &(u32, u32)| -> Vec<(u32, u32)> {
                // A u32 holds eight digits.
                let longer = |reading: Reading| Some((number * radix + digit(&reading)?, reading.end));
                self.at(*end).filter_map(longer).collect()
            };
            longer = longer.iter().flat_map(step).take(MAX_READINGS).collect();
            if longer.is_empty() {
                break;
            }
            if length >= min_digits {
                numbers.extend(&longer);
            }
        }
        numbers
    }

    /// The results of `select` for the readings of these positions, without repetitions.
    fn following(&self, positions: &[u32], select: impl Fn(Reading) -> Option<u32>) -> Vec<u32> {
        let mut found: Vec<u32> = positions.iter().flat_map(|position| self.at(*position)).filter_map(select).collect();
        found.sort_unstable();
        found.dedup();
        found.truncate(MAX_READINGS);
        found
    }
}

/// The named entities of HTML for ASCII characters.
const ENTITIES: &[(&str, u8)] = &[
    ("amp", b'&'),
    ("AMP", b'&'),
    ("lt", b'<'),
    ("LT", b'<'),
    ("gt", b'>'),
    ("GT", b'>'),
    ("quot", b'"'),
    ("QUOT", b'"'),
    ("apos", b'\''),
    ("Tab", b'\t'),
    ("NewLine", b'\n'),
    ("nbsp", b' '),
    ("excl", b'!'),
    ("num", b'#'),
    ("dollar", b'$'),
    ("percnt", b'%'),
    ("lpar", b'('),
    ("rpar", b')'),
    ("ast", b'*'),
    ("midast", b'*'),
    ("plus", b'+'),
    ("comma", b','),
    ("period", b'.'),
    ("sol", b'/'),
    ("colon", b':'),
    ("semi", b';'),
    ("equals", b'='),
    ("quest", b'?'),
    ("commat", b'@'),
    ("lsqb", b'['),
    ("lbrack", b'['),
    ("bsol", b'\\'),
    ("rsqb", b']'),
    ("rbrack", b']'),
    ("Hat", b'^'),
    ("lowbar", b'_'),
    ("UnderBar", b'_'),
    ("grave", b'`'),
    ("DiacriticalGrave", b'`'),
    ("lcub", b'{'),
    ("lbrace", b'{'),
    ("verbar", b'|'),
    ("vert", b'|'),
    ("VerticalLine", b'|'),
    ("rcub", b'}'),
    ("rbrace", b'}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// All readings of the beginning of a text, with their ends.
    fn readings(text: &str) -> Vec<(String, u32)> {
        let readings = Readings::new(text.as_bytes());
        let shown = |reading: Reading| (String::from_utf8_lossy(reading.bytes()).into_owned(), reading.end);
        readings.at(0).map(shown).collect()
    }

    /// The readings of escapes.
    fn escapes(text: &str) -> Vec<(String, u32)> {
        readings(text).split_off(1)
    }

    fn one(byte: &str, end: u32) -> Vec<(String, u32)> {
        vec![(byte.to_owned(), end)]
    }

    #[test]
    fn each_form_of_escape_is_recognized() {
        for (text, means) in [
            ("%2B", "+"),
            ("%2b", "+"),
            ("%u002B", "+"),
            ("\\u002b", "+"),
            ("\\u00e9", "é"),
            ("\\uD83D\\ude00", "😀"),
            ("\\n", "\n"),
            ("\\/", "/"),
            ("\\\\", "\\"),
            ("\\x2b", "+"),
            ("&#43;", "+"),
            ("&#x2B;", "+"),
            ("&#0000233;", "é"),
            ("&plus;", "+"),
            ("&amp;", "&"),
        ] {
            assert_eq!(escapes(text), one(means, text.len() as u32), "{text}");
        }
    }

    #[test]
    fn an_incomplete_escape_is_not_recognized() {
        for text in [
            "%",
            "%2",
            "%2g",
            "%u12",
            "\\u002",
            "\\ud83d",
            "\\ud83d\\u0041",
            "\\x2",
            "\\k",
            "&",
            "&#;",
            "&#43",
            "&plus",
        ] {
            assert_eq!(readings(text).len(), 1, "{text}");
        }
        assert!(escapes("&#1114112;").is_empty());
        assert!(Readings::new(b"").at(0).next().is_none());
    }

    #[test]
    fn an_escape_whose_parts_are_escaped_is_recognized() {
        let texts: Vec<_> = escapes("%25252B").into_iter().map(|(text, end)| format!("{text}{end}")).collect();
        assert_eq!(texts, ["%3", "%5", "+7"]);
        for text in ["%%32%42", "\\u005cu002b", "&amp;#43;", "%26%2343%3B", "&#37;2B", "\\u0025\\u0032\\u0042"] {
            assert!(readings(text).contains(&("+".to_owned(), text.len() as u32)), "{text}");
        }
    }
}
