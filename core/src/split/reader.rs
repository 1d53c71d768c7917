//! From bytes to frames: DATA is passed on as it comes, every other frame once it is whole.

use bytes::{Buf, Bytes};

use crate::wire::frame::{flag, ErrorCode, Head, Kind, DEFAULT_MAX_FRAME_SIZE, HEAD_LEN, PREFACE};

/// What the bytes of a peer say next.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Piece {
    /// A DATA frame has begun; its content follows.
    Data(DataHead),
    /// Content of the DATA frame that has begun.
    Content {
        bytes: Bytes,
        /// Whether the frame ends here.
        is_last: bool,
    },
    /// A whole frame of any other type.
    Frame { head: Head, payload: Bytes },
}

/// What is known at the start of a DATA frame (RFC 9113 §6.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct DataHead {
    pub(super) stream: u32,
    /// Bytes that count against the windows: content, padding and its length octet (RFC 9113 §6.9.1).
    pub(super) flow: u32,
    /// Bytes of content.
    pub(super) content: u32,
    /// END_STREAM.
    pub(super) ends: bool,
}

enum State {
    /// This much of the preface is still to come.
    Preface {
        left: usize,
    },
    Head,
    /// A DATA frame of which the length of the padding is still to come.
    PadLength(Head),
    Data {
        content: usize,
        padding: usize,
    },
    Padding {
        left: usize,
    },
    Frame(Head),
}

/// Cuts the bytes of one peer into frames. Holds at most one frame that is no DATA.
pub(super) struct FrameReader {
    state: State,
    head: [u8; HEAD_LEN],
    head_len: usize,
    gathered: Vec<u8>,
}

impl FrameReader {
    /// For the bytes of a client, which begin with the preface.
    pub(super) const fn of_client() -> Self {
        Self::new(State::Preface { left: PREFACE.len() })
    }

    /// For the bytes of a server.
    pub(super) const fn of_server() -> Self {
        Self::new(State::Head)
    }

    const fn new(state: State) -> Self {
        Self { state, head: [0; HEAD_LEN], head_len: 0, gathered: Vec::new() }
    }

    /// Bytes of memory held for a frame that is not whole.
    pub(super) fn held(&self) -> usize {
        self.gathered.capacity()
    }

    /// The next piece, or `None` when `input` is used up.
    ///
    /// # Errors
    /// The code of the connection error that the bytes are.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, ErrorCode> {
        loop {
            match self.state {
                State::Preface { left } => {
                    let expected = &PREFACE[PREFACE.len() - left..];
                    let count = input.len().min(left);
                    if input[..count] != expected[..count] {
                        return Err(ErrorCode::PROTOCOL_ERROR);
                    }
                    input.advance(count);
                    if count < left {
                        self.state = State::Preface { left: left - count };
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
                State::Head => {
                    let Some(head) = self.take_head(input) else { return Ok(None) };
                    if head.length > DEFAULT_MAX_FRAME_SIZE {
                        return Err(ErrorCode::FRAME_SIZE_ERROR);
                    }
                    if head.kind != Kind::DATA {
                        self.state = State::Frame(head);
                    } else if head.has(flag::PADDED) {
                        if head.length == 0 {
                            return Err(ErrorCode::FRAME_SIZE_ERROR);
                        }
                        self.state = State::PadLength(head);
                    } else {
                        return Ok(Some(self.begin_data(&head, head.length, 0)));
                    }
                }
                State::PadLength(head) => {
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let padding = u32::from(input.get_u8());
                    let Some(content) = (head.length - 1).checked_sub(padding) else {
                        return Err(ErrorCode::PROTOCOL_ERROR);
                    };
                    return Ok(Some(self.begin_data(&head, content, padding as usize)));
                }
                State::Data { content, padding } => {
                    if input.is_empty() && content > 0 {
                        return Ok(None);
                    }
                    let bytes = input.split_to(input.len().min(content));
                    let left = content - bytes.len();
                    let is_last = left == 0;
                    self.state = match (is_last, padding) {
                        (false, _) => State::Data { content: left, padding },
                        (true, 0) => State::Head,
                        (true, _) => State::Padding { left: padding },
                    };
                    return Ok(Some(Piece::Content { bytes, is_last }));
                }
                State::Padding { left } => {
                    let count = input.len().min(left);
                    input.advance(count);
                    if count < left {
                        self.state = State::Padding { left: left - count };
                        return Ok(None);
                    }
                    self.state = State::Head;
                }
                State::Frame(head) => {
                    let length = head.length as usize;
                    let payload = if self.gathered.is_empty() && input.len() >= length {
                        input.split_to(length)
                    } else {
                        let count = input.len().min(length - self.gathered.len());
                        self.gathered.extend_from_slice(&input[..count]);
                        input.advance(count);
                        if self.gathered.len() < length {
                            return Ok(None);
                        }
                        Bytes::from(std::mem::take(&mut self.gathered))
                    };
                    self.state = State::Head;
                    return Ok(Some(Piece::Frame { head, payload }));
                }
            }
        }
    }

    fn begin_data(&mut self, head: &Head, content: u32, padding: usize) -> Piece {
        self.state = State::Data { content: content as usize, padding };
        Piece::Data(DataHead {
            stream: head.stream,
            flow: head.length,
            content,
            ends: head.has(flag::END_STREAM),
        })
    }

    fn take_head(&mut self, input: &mut Bytes) -> Option<Head> {
        if self.head_len == 0 {
            if let Some(head) = Head::peek(input) {
                input.advance(HEAD_LEN);
                return Some(head);
            }
        }
        let count = input.len().min(HEAD_LEN - self.head_len);
        self.head[self.head_len..self.head_len + count].copy_from_slice(&input[..count]);
        self.head_len += count;
        input.advance(count);
        if self.head_len < HEAD_LEN {
            return None;
        }
        self.head_len = 0;
        Some(Head::decode(&self.head))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::encode_frame;

    /// What the reader says of these bytes, cut into segments of one size; contents joined.
    fn read(bytes: &[u8], segment: usize, mut reader: FrameReader) -> Result<Vec<String>, ErrorCode> {
        let (mut said, mut content) = (Vec::new(), Vec::new());
        for part in bytes.chunks(segment) {
            let mut input = Bytes::copy_from_slice(part);
            while let Some(piece) = reader.next(&mut input)? {
                match piece {
                    Piece::Data(head) => said.push(format!("{head:?}")),
                    Piece::Content { bytes, is_last } => {
                        content.extend_from_slice(&bytes);
                        if is_last {
                            said.push(String::from_utf8(std::mem::take(&mut content)).unwrap());
                        }
                    }
                    Piece::Frame { head, payload } => said.push(format!("{head:?} {payload:?}")),
                }
            }
            assert!(input.is_empty());
        }
        Ok(said)
    }

    #[test]
    fn segments_make_no_difference() {
        let mut bytes = PREFACE.to_vec();
        encode_frame(&mut bytes, Kind::SETTINGS, 0, 0, b"");
        encode_frame(&mut bytes, Kind::DATA, flag::PADDED | flag::END_STREAM, 1, b"\x03hello\0\0\0");
        encode_frame(&mut bytes, Kind::DATA, flag::END_STREAM, 3, b"");
        encode_frame(&mut bytes, Kind::DATA, flag::PADDED, 3, b"\x02\0\0");
        encode_frame(&mut bytes, Kind::DATA, 0, 5, b"world");
        encode_frame(&mut bytes, Kind(0x77), 3, 9, b"unknown");
        let whole = read(&bytes, bytes.len(), FrameReader::of_client()).unwrap();
        assert_eq!(whole.len(), 1 + 2 + 2 + 2 + 2 + 1);
        assert!(whole[1].contains("flow: 9, content: 5, ends: true"), "{}", whole[1]);
        assert_eq!(whole[2], "hello");
        for segment in 1..bytes.len() {
            assert_eq!(read(&bytes, segment, FrameReader::of_client()).unwrap(), whole, "{segment}");
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for (bytes, code) in [
            (&b"\0\x40\x01\0\0\0\0\0\x01"[..], ErrorCode::FRAME_SIZE_ERROR),
            (b"\0\0\0\0\x08\0\0\0\x01", ErrorCode::FRAME_SIZE_ERROR),
            (b"\0\0\x01\0\x08\0\0\0\x01\x01", ErrorCode::PROTOCOL_ERROR),
        ] {
            for segment in 1..=bytes.len() {
                assert_eq!(read(bytes, segment, FrameReader::of_server()), Err(code));
            }
        }
        let wrong = read(b"PRI * HTTP/2.0\r\n\r\nSX", 1, FrameReader::of_client());
        assert_eq!(wrong, Err(ErrorCode::PROTOCOL_ERROR));
    }
}
