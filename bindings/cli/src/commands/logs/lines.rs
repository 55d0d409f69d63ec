//! Lines in what two streams have written in turns.
//!
//! A program writes in pieces of any size, and the pieces of standard output
//! and error alternate. Nothing is held back until its line is complete:
//! whoever follows a log sees a prompt at once.

use libctr::container::{LogEntry, LogStream};

/// A line, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) stream: LogStream,
    pub(super) time_ns: u64,
    /// Whether it is the beginning of a line of its stream.
    pub(super) starts_line: bool,
    /// Ends with the line's newline, if the line ends with it.
    pub(super) data: Vec<u8>,
}

/// Cuts entries at the ends of lines.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Whether standard output and error are within a line.
    within: [bool; 2],
}

fn place(stream: LogStream) -> usize {
    match stream {
        LogStream::Stdout => 0,
        LogStream::Stderr => 1,
    }
}

impl Pieces {
    pub(super) fn split(&mut self, entry: &LogEntry) -> Vec<Piece> {
        self.cut(entry.stream, entry.time_ns, &entry.data)
    }

    fn cut(&mut self, stream: LogStream, time_ns: u64, data: &[u8]) -> Vec<Piece> {
        let within = &mut self.within[place(stream)];
        let mut piece = |data: &[u8]| {
            let starts_line = !*within;
            *within = !data.ends_with(b"\n");
            Piece { stream, time_ns, starts_line, data: data.to_vec() }
        };
        data.split_inclusive(|byte| *byte == b'\n').map(&mut piece).collect()
    }
}

/// The last lines of all.
#[derive(Debug)]
pub(super) struct Tail {
    count: usize,
    pieces: Vec<Piece>,
}

impl Tail {
    /// Keeps `count` lines.
    pub(super) fn new(count: usize) -> Tail {
        Tail { count, pieces: Vec::new() }
    }

    pub(super) fn push(&mut self, piece: Piece) {
        self.pieces.push(piece);
        // Seldom, so that the whole stays one pass.
        if self.pieces.len() > self.count.saturating_mul(4).max(1024) {
            self.cut();
        }
    }

    /// What is kept, without the ends of lines whose beginning is not.
    pub(super) fn finish(mut self) -> impl Iterator<Item = Piece> {
        self.cut();
        let mut seen = [false; 2];
        self.pieces.into_iter().filter(move |piece| {
            let seen = &mut seen[place(piece.stream)];
            *seen |= piece.starts_line;
            *seen
        })
    }

    fn cut(&mut self) {
        let starts = (0..self.pieces.len()).filter(|at| self.pieces[*at].starts_line);
        let starts: Vec<usize> = starts.collect();
        if let Some(surplus) = starts.len().checked_sub(self.count) {
            self.pieces.drain(..starts.get(surplus).copied().unwrap_or(self.pieces.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Piece, Pieces, Tail};
    use libctr::container::LogStream::{self, Stderr, Stdout};

    /// As a log would give them; entries cannot be made outside the library.
    fn pieces(entries: &[(LogStream, &str)]) -> Vec<Piece> {
        let mut cutter = Pieces::default();
        let split =
            entries.iter().flat_map(|(stream, text)| cutter.cut(*stream, 0, text.as_bytes()));
        split.collect()
    }

    fn tail(count: usize, entries: &[(LogStream, &str)]) -> String {
        let mut tail = Tail::new(count);
        pieces(entries).into_iter().for_each(|piece| tail.push(piece));
        tail.finish().map(|piece| String::from_utf8(piece.data).unwrap()).collect()
    }

    #[test]
    fn lines_of_two_streams_are_cut_apart() {
        let found: Vec<_> = pieces(&[(Stdout, "a\nb"), (Stderr, "e\n"), (Stdout, "c\n")])
            .into_iter()
            .map(|piece| (piece.stream, piece.starts_line, piece.data))
            .collect();
        let expected = [
            (Stdout, true, "a\n"),
            (Stdout, true, "b"),
            (Stderr, true, "e\n"),
            (Stdout, false, "c\n"),
        ];
        assert_eq!(found, expected.map(|(stream, starts, text)| (stream, starts, text.into())));
    }

    #[test]
    fn tail_counts_lines_not_pieces() {
        let log = [(Stdout, "1\n2"), (Stderr, "e\n"), (Stdout, "2\n3")];
        assert_eq!(tail(9, &log), "1\n2e\n2\n3");
        assert_eq!(tail(3, &log), "2e\n2\n3");
        assert_eq!(tail(2, &log), "e\n3");
        assert_eq!(tail(0, &log), "");
    }

    #[test]
    fn tail_of_a_long_log_is_its_end() {
        let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
        assert_eq!(tail(2, &[(Stdout, &text)]), "99998\n99999\n");
    }
}
