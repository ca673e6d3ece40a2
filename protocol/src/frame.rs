//! Outgoing frames: encoded and framed once, then shared by all who get them.

use bytes::Bytes;
use serde::Serialize;

/// A whole unmasked WebSocket frame, header and payload. Cloning it copies no payload.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Frame(Bytes);

/// The longest header of an unmasked frame (RFC 6455 section 5.2).
const HEADER_MAX: usize = 10;

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

impl Frame {
    /// A text message in one frame.
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::whole(TEXT, &[text.as_ref().as_bytes()])
    }

    /// A binary message in one frame.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::whole(BINARY, &[bytes])
    }

    /// A text message in one frame, encoded straight behind the place of its header.
    ///
    /// # Panics
    /// If `message` cannot be JSON at all, such as a map whose keys are not strings.
    pub fn json(message: &impl Serialize) -> Self {
        let mut buffer = Vec::with_capacity(256);
        buffer.resize(HEADER_MAX, 0);
        serde_json::to_writer(&mut buffer, message)
            .expect("messages are structs of strings, numbers and JSON values");
        let (header, header_len) = header(TEXT, buffer.len() - HEADER_MAX);
        let start = HEADER_MAX - header_len;
        for (place, byte) in buffer.iter_mut().skip(start).zip(header.into_iter().take(header_len))
        {
            *place = byte;
        }
        Self(Bytes::from(buffer).slice(start..))
    }

    /// A ping. Its payload is at most 125 bytes (RFC 6455 section 5.5); more is cut off.
    pub fn ping(payload: &[u8]) -> Self {
        Self::control(PING, &[payload])
    }

    /// A pong, which carries the payload of the ping that it answers.
    pub fn pong(payload: &[u8]) -> Self {
        Self::control(PONG, &[payload])
    }

    /// A Close with its code and reason. The reason is at most 123 bytes; more is cut off.
    pub fn close(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(CONTROL_MAX - 2);
        let reason = reason.get(..end).unwrap_or_default();
        Self::control(CLOSE, &[&code.to_be_bytes(), reason.as_bytes()])
    }

    /// The whole frame as it goes over the wire.
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// What the frame carries.
    pub fn payload(&self) -> &[u8] {
        let header = match self.0.get(1) {
            Some(126) => 4,
            Some(127) => 10,
            _ => 2,
        };
        self.0.get(header..).unwrap_or_default()
    }

    /// The payload as text; empty for a frame that carries none.
    pub fn as_text(&self) -> &str {
        match self.0.first() {
            Some(first) if first & 0xF == TEXT => {
                std::str::from_utf8(self.payload()).unwrap_or_default()
            }
            _ => "",
        }
    }

    fn control(opcode: u8, parts: &[&[u8]]) -> Self {
        let mut payload = parts.concat();
        payload.truncate(CONTROL_MAX);
        Self::whole(opcode, &[&payload])
    }

    fn whole(opcode: u8, parts: &[&[u8]]) -> Self {
        let len = parts.iter().map(|part| part.len()).sum();
        let (header, header_len) = header(opcode, len);
        let mut buffer = Vec::with_capacity(header_len + len);
        buffer.extend(header.iter().take(header_len));
        for part in parts {
            buffer.extend_from_slice(part);
        }
        Self(Bytes::from(buffer))
    }
}

/// "All control frames MUST have a payload length of 125 bytes or less" (RFC 6455 section 5.5).
const CONTROL_MAX: usize = 125;

/// The header of a frame of this opcode and payload length, and how much of the array it is.
fn header(opcode: u8, len: usize) -> ([u8; HEADER_MAX], usize) {
    let first = FIN | opcode;
    let wide = (len as u64).to_be_bytes();
    let [a, b, c, d, e, f, g, h] = wide;
    match len {
        0..=125 => ([first, h, 0, 0, 0, 0, 0, 0, 0, 0], 2),
        126..=0xFFFF => ([first, 126, g, h, 0, 0, 0, 0, 0, 0], 4),
        _ => ([first, 127, a, b, c, d, e, f, g, h], HEADER_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_has_the_shortest_form_and_the_payload_is_behind_it() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let text = "x".repeat(len);
            let frame = Frame::text(&text);
            assert_eq!(frame.bytes().len(), header + len);
            assert_eq!(frame.as_text(), text);
            assert_eq!(frame.bytes()[0], 0x81);
        }
    }

    #[test]
    fn json_is_framed_as_text_is() {
        for len in [0, 10, 123, 124, 65_533, 65_534, 70_000] {
            let text = "x".repeat(len);
            assert_eq!(Frame::json(&text), Frame::text(format!("\"{text}\"")));
        }
    }

    #[test]
    fn control_frames_are_never_too_long() {
        assert_eq!(Frame::ping(&[7; 200]).payload(), [7; 125]);
        let close = Frame::close(4008, &"é".repeat(100));
        assert_eq!(close.payload().len(), 2 + 122);
        assert_eq!(close.payload()[..2], [0x0F, 0xA8]);
        assert_eq!(Frame::close(1001, "").bytes()[..], [0x88, 2, 0x03, 0xE9]);
    }
}
