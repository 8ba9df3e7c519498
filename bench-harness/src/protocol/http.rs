//! HTTP/1.1 with connections that stay open: a GET of one path, and the framing of any response.

use std::cell::RefCell;

use super::{Note, Protocol, ProtocolError, Reply};
use crate::advice::other_language;
use crate::serve::Wire;

/// Encoder of requests for one path.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    request: Vec<u8>,
    /// Nothing is asked for on a connection after its first response, so that may be its end.
    one_each: bool,
    known: RefCell<Known>,
}

/// The head that was parsed last. Servers send the same one again and again, until the second of its date is over,
/// and to compare it costs a fraction of parsing it.
#[derive(Debug, Clone)]
struct Known {
    /// Up to the empty line, so that it is a whole head wherever it stands at the front; empty for none.
    head: Vec<u8>,
    /// What it says of the response, whose length it tells.
    reply: Reply,
}

impl Known {
    fn find(&self, input: &[u8]) -> Option<Option<Reply>> {
        let is_same = !self.head.is_empty() && input.starts_with(&self.head);
        is_same.then(|| (input.len() >= self.reply.bytes).then_some(self.reply))
    }

    fn learn(&mut self, head: &[u8], reply: Reply) {
        self.head.clear();
        self.head.extend_from_slice(head);
        self.reply = reply;
    }
}

/// A head is at most this long, so that garbage is not taken for one that is incomplete.
const MAX_HEAD_BYTES: usize = 64 * 1_024;

/// The largest body or chunk that is believed.
const MAX_BODY_BYTES: usize = 1 << 30;

impl Http {
    /// GET of `path` from `host`, which goes into the header of that name.
    pub(crate) fn new(host: &str, path: &str) -> Self {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: bench-harness\r\n\r\n");
        let known = Known { head: Vec::new(), reply: Reply { bytes: 0, ok: false } };
        Http { request: request.into_bytes(), one_each: false, known: RefCell::new(known) }
    }

    /// For connections that are used for one request each: the server may close them then.
    pub(crate) fn one_each(self, one_each: bool) -> Self {
        Http { one_each, ..self }
    }
}

impl Protocol for Http {
    fn encode(&mut self, _sequence: u64, out: &mut Vec<u8>) -> Note {
        out.extend_from_slice(&self.request);
        Note::ANY
    }

    fn parse(
        &self,
        _sequence: u64,
        _note: Note,
        input: &[u8],
    ) -> Result<Option<Reply>, ProtocolError> {
        let mut known = self.known.borrow_mut();
        if let Some(reply) = known.find(input) {
            return Ok(reply);
        }
        let Some(Response { reply, head_bytes }) = response(input, self.one_each)? else {
            return Ok(None);
        };
        if let Some(head_bytes) = head_bytes {
            known.learn(&input[..head_bytes], reply);
        }
        Ok(Some(reply))
    }
}

/// A whole response.
struct Response {
    reply: Reply,
    /// Length of its head, if that alone tells the length of the response.
    head_bytes: Option<usize>,
}

/// Finds one whole response to a GET at the front of `input`, interim ones (1xx) before it included.
/// Statuses from 400 on are errors.
///
/// # Errors
/// If `input` is no HTTP/1, if the end of the connection tells where the response ends, or if the server closes and
/// that `may_close` not be.
fn response(input: &[u8], may_close: bool) -> Result<Option<Response>, ProtocolError> {
    let mut begin = 0;
    loop {
        let Some(head) = Head::parse(&input[begin..])? else { return Ok(None) };
        let body = begin + head.bytes;
        if (100..200).contains(&head.status) {
            begin = body;
            continue;
        }
        let end = match head.body {
            Body::Length(bytes) => (input.len() >= body + bytes).then_some(body + bytes),
            Body::Chunked => chunks_end(input, body)?,
            Body::UntilClose => return Err(error("the length of the body is not told")),
        };
        let Some(end) = end else { return Ok(None) };
        if head.closes && !may_close {
            return Err(error(
                "the server closes the connection after each response; allow it to keep them alive, or take a \
                 connection for each request with --reconnect 1",
            ));
        }
        let tells_all = begin == 0 && matches!(head.body, Body::Length(_));
        let reply = Reply { bytes: end, ok: head.status < 400 };
        return Ok(Some(Response { reply, head_bytes: tells_all.then_some(body) }));
    }
}

/// Where one whole request without a body ends, for null servers.
///
/// # Errors
/// If the head never ends.
pub(crate) fn parse_request(input: &[u8]) -> Result<Option<usize>, ProtocolError> {
    head_end(input)
}

enum Body {
    Length(usize),
    Chunked,
    UntilClose,
}

struct Head {
    bytes: usize,
    status: u16,
    body: Body,
    closes: bool,
}

impl Head {
    fn parse(input: &[u8]) -> Result<Option<Self>, ProtocolError> {
        if !input.starts_with(b"HTTP/1.") && !b"HTTP/1.".starts_with(input) {
            let begin = &input[..input.len().min(16)];
            let advice = other_language(Wire::Http, input);
            let begin = String::from_utf8_lossy(begin);
            return Err(error(&format!("not HTTP/1: {begin:?}; {advice}")));
        }
        let Some(bytes) = head_end(input)? else { return Ok(None) };
        let text = std::str::from_utf8(&input[..bytes]).map_err(|_| error("a head is no text"))?;
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|digits| digits.parse().ok());
        let status: u16 = status.ok_or_else(|| error(&format!("not a status line: {first:?}")))?;
        // HTTP/1.0 closes unless it says otherwise.
        let mut closes = first.starts_with("HTTP/1.0");
        let no_body = status == 204 || status == 304;
        let mut body = if no_body { Body::Length(0) } else { Body::UntilClose };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            if name.eq_ignore_ascii_case("content-length") && matches!(body, Body::UntilClose) {
                let length = value.parse().ok().filter(|length| *length <= MAX_BODY_BYTES);
                body = Body::Length(length.ok_or_else(|| error("a length that is none"))?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") && !no_body {
                body = Body::Chunked;
            } else if name.eq_ignore_ascii_case("connection") {
                closes = value.eq_ignore_ascii_case("close");
            }
        }
        Ok(Some(Head { bytes, status, body, closes }))
    }
}

fn head_end(input: &[u8]) -> Result<Option<usize>, ProtocolError> {
    let end = input.windows(4).take(MAX_HEAD_BYTES).position(|four| four == b"\r\n\r\n");
    match end {
        Some(position) => Ok(Some(position + 4)),
        None if input.len() > MAX_HEAD_BYTES => Err(error("a head never ends")),
        None => Ok(None),
    }
}

/// Where the chunks that begin at `at` end, trailers included.
fn chunks_end(input: &[u8], mut at: usize) -> Result<Option<usize>, ProtocolError> {
    let line_end = |at: usize| {
        let rest = &input[at..];
        let end = rest.windows(2).take(MAX_HEAD_BYTES).position(|pair| pair == b"\r\n");
        if end.is_none() && rest.len() > MAX_HEAD_BYTES {
            return Err(error("a chunk's line never ends"));
        }
        Ok(end.map(|position| at + position))
    };
    loop {
        let Some(end) = line_end(at)? else { return Ok(None) };
        let digits = input[at..end].split(|byte| *byte == b';').next().unwrap_or_default();
        let length = std::str::from_utf8(digits)
            .ok()
            .and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok())
            .filter(|length| *length <= MAX_BODY_BYTES)
            .ok_or_else(|| error("a chunk without a length"))?;
        at = end + 2;
        if length == 0 {
            break;
        }
        at += length + 2;
        if at > input.len() {
            return Ok(None);
        }
    }
    // The trailers end with an empty line.
    loop {
        match line_end(at)? {
            None => return Ok(None),
            Some(end) if end == at => return Ok(Some(end + 2)),
            Some(end) => at = end + 2,
        }
    }
}

fn error(text: &str) -> ProtocolError {
    ProtocolError(text.to_owned())
}

#[cfg(test)]
mod tests;
