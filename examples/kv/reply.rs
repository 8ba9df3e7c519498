//! Replies: values in, RESP2 or RESP3 out.

use bytes::{BufMut, BytesMut};

use super::number::Decimal;

/// The version of the protocol that a connection speaks: 2 until it says `HELLO 3`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resp {
    /// Arrays, bulk strings, integers, statuses, errors.
    #[default]
    Two,
    /// Maps, sets, nulls and texts beside them.
    Three,
}

impl Resp {
    /// The number in `HELLO`.
    pub(crate) fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// Appends replies to a buffer, in the form that the connection asked for.
pub(crate) struct Reply<'a> {
    out: &'a mut BytesMut,
    resp: Resp,
}

impl<'a> Reply<'a> {
    /// Replies in the form `resp`, appended to `out`.
    pub(crate) fn new(out: &'a mut BytesMut, resp: Resp) -> Self {
        Self { out, resp }
    }

    /// Goes on in another form.
    pub(crate) fn speak(&mut self, resp: Resp) {
        self.resp = resp;
    }

    /// `+OK`
    pub(crate) fn ok(&mut self) {
        self.out.put_slice(b"+OK\r\n");
    }

    /// A status: one line.
    pub(crate) fn status(&mut self, text: &str) {
        debug_assert!(!text.contains(['\r', '\n']), "a status is one line");
        self.line(b'+', text.as_bytes());
    }

    /// An error with the code `ERR`. Line ends in it become spaces, for an error is one line.
    pub(crate) fn error(&mut self, text: impl AsRef<[u8]>) {
        self.out.put_slice(b"-ERR ");
        self.error_text(text.as_ref());
    }

    /// An error that names its own code, such as `NOPROTO`.
    pub(crate) fn coded_error(&mut self, text: impl AsRef<[u8]>) {
        self.out.put_u8(b'-');
        self.error_text(text.as_ref());
    }

    /// An integer.
    pub(crate) fn integer(&mut self, value: i64) {
        if let 0..=9 = value {
            self.out.put_slice(&[b':', b'0' + value as u8, b'\r', b'\n']);
        } else {
            self.line(b':', Decimal::new(value).as_bytes());
        }
    }

    /// A length as an integer.
    pub(crate) fn count(&mut self, value: usize) {
        self.integer(i64::try_from(value).expect("a count of things in memory is below 2^63"));
    }

    /// A string of bytes.
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.out.reserve(bytes.len() + 32);
        self.header(b'$', bytes.len());
        self.out.put_slice(bytes);
        self.out.put_slice(b"\r\n");
    }

    /// A text for people: a string of bytes, marked as text in RESP3.
    pub(crate) fn text(&mut self, text: &str) {
        if self.resp == Resp::Two {
            return self.bulk(text.as_bytes());
        }
        self.header(b'=', text.len() + 4);
        self.out.put_slice(b"txt:");
        self.out.put_slice(text.as_bytes());
        self.out.put_slice(b"\r\n");
    }

    /// The value that is not there.
    pub(crate) fn null(&mut self) {
        self.out.put_slice(match self.resp {
            Resp::Two => b"$-1\r\n",
            Resp::Three => b"_\r\n",
        });
    }

    /// A value or a null.
    pub(crate) fn optional(&mut self, value: Option<&[u8]>) {
        match value {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// The start of an array; its `count` values follow.
    pub(crate) fn array(&mut self, count: usize) {
        self.header(b'*', count);
    }

    /// The start of a map; its `count` pairs of key and value follow.
    pub(crate) fn map(&mut self, count: usize) {
        match self.resp {
            Resp::Two => self.header(b'*', count * 2),
            Resp::Three => self.header(b'%', count),
        }
    }

    /// The start of a set; its `count` values follow.
    pub(crate) fn set(&mut self, count: usize) {
        match self.resp {
            Resp::Two => self.header(b'*', count),
            Resp::Three => self.header(b'~', count),
        }
    }

    /// Appends what is already in the form of a reply.
    pub(crate) fn encoded(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    fn header(&mut self, mark: u8, count: usize) {
        if count < 10 {
            self.out.put_slice(&[mark, b'0' + count as u8, b'\r', b'\n']);
        } else {
            let count = i64::try_from(count).expect("a count of things in memory is below 2^63");
            self.line(mark, Decimal::new(count).as_bytes());
        }
    }

    fn line(&mut self, mark: u8, text: &[u8]) {
        self.out.reserve(text.len() + 3);
        self.out.put_u8(mark);
        self.out.put_slice(text);
        self.out.put_slice(b"\r\n");
    }

    fn error_text(&mut self, text: &[u8]) {
        let start = self.out.len();
        self.out.put_slice(text);
        for byte in &mut self.out[start..] {
            if matches!(*byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.out.put_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests;
