//! How bytes move between sockets and sessions: directly, or through tide-websockets, to compare.
//!
//! The others than `direct` are there in builds with the feature `tide-websockets`
//! (docs/decisions/0008-transports.md).

#[cfg(feature = "tide-websockets")]
pub(crate) mod guarded;
#[cfg(feature = "tide-websockets")]
pub(crate) mod naive;

use std::str::FromStr;

/// How bytes move.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// Read and written by this server itself.
    #[default]
    Direct,
    /// Through the crate tide-websockets, behind this server's upgrade, limits and queues.
    #[cfg(feature = "tide-websockets")]
    TideWebsockets,
    /// Through the crate tide-websockets as its README shows it, with all that comes of it.
    #[cfg(feature = "tide-websockets")]
    Naive,
}

impl Transport {
    pub(crate) fn is_naive(self) -> bool {
        #[cfg(feature = "tide-websockets")]
        return self == Self::Naive;
        #[cfg(not(feature = "tide-websockets"))]
        false
    }
}

impl FromStr for Transport {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "direct" => Ok(Self::Direct),
            #[cfg(feature = "tide-websockets")]
            "tide-websockets" => Ok(Self::TideWebsockets),
            #[cfg(feature = "tide-websockets")]
            "naive" => Ok(Self::Naive),
            #[cfg(not(feature = "tide-websockets"))]
            "tide-websockets" | "naive" => {
                Err("this build has only `direct`; build with `--features tide-websockets`")
            }
            _ => Err("there are: direct, tide-websockets, naive"),
        }
    }
}

/// What is framed already, whole and unmasked, as the crate takes it.
#[cfg(feature = "tide-websockets")]
fn message(frame: &[u8]) -> tide_websockets::Message {
    use tide_websockets::Message;
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    let payload = frame.get(header..).unwrap_or_default().to_vec();
    match frame.first().map(|first| first & 0xf) {
        // Text that we framed is UTF-8.
        Some(0x1) => Message::Text(String::from_utf8(payload).unwrap_or_default()),
        Some(0x9) => Message::Ping(payload),
        Some(0xA) => Message::Pong(payload),
        _ => Message::Binary(payload),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_says_which_transports_it_has() {
        assert_eq!("direct".parse(), Ok(Transport::Direct));
        assert!("quic".parse::<Transport>().is_err_and(|told| told.contains("naive")));
        for name in ["tide-websockets", "naive"] {
            let parsed = name.parse::<Transport>();
            if cfg!(feature = "tide-websockets") {
                assert!(parsed.is_ok_and(|other| other != Transport::Direct));
            } else {
                assert!(parsed.is_err_and(|told| told.contains("--features tide-websockets")));
            }
        }
    }
}
