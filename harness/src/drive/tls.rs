//! TLS from the client's side: whom to trust, and a session over any socket that does not wait.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

/// Certificates that are trusted beside those of the system.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The file that they stand in.
    pub path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Authority {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// One line for the user.
    pub fn from_file(path: &Path) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| error.to_string())?;
        let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let certificates = certificates.map_err(|error| error.to_string())?;
        let mut trial = RootCertStore::empty();
        for certificate in &certificates {
            trial.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        if certificates.is_empty() {
            return Err("no certificate in it; PEM is wanted".to_owned());
        }
        Ok(Self { path: path.to_owned(), certificates })
    }
}

/// Whom to trust when a target speaks TLS. Nothing is read from the system before one does.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    authorities: Vec<Authority>,
    insecure: bool,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl Tls {
    /// Trusts the system's authorities and these; or anybody.
    pub fn new(authorities: &[Authority], insecure: bool) -> Self {
        Self { authorities: authorities.to_vec(), insecure, config: OnceLock::new() }
    }

    /// TLS with the server of this host, a name or an address.
    pub(super) fn with(&self, host: &str) -> Result<Secure, String> {
        let config = self.config.get_or_init(|| self.configure()).clone()?;
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|_| format!("`{host}` cannot stand in a certificate"))?;
        Ok(Secure { config, name })
    }

    fn configure(&self) -> Result<Arc<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?;
        let verifier: Arc<dyn ServerCertVerifier> = match self.insecure {
            true => Arc::new(Anybody(provider)),
            false => Arc::new(self.known(provider)?),
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Each client stands for a machine of its own, which shares no tickets with the others.
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    fn known(&self, provider: Arc<CryptoProvider>) -> Result<Known, String> {
        let roots = Arc::new(self.roots()?);
        let judge = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let named = self.authorities.iter().flat_map(|it| it.certificates.clone()).collect();
        Ok(Known { judge: judge.map_err(|error| error.to_string())?, named })
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let system = rustls_native_certs::load_native_certs();
        // Systems carry certificates that nobody can read; one that is missed shows at the server.
        roots.add_parsable_certificates(system.certs);
        for certificate in self.authorities.iter().flat_map(|it| &it.certificates) {
            roots.add(certificate.clone()).map_err(|error| error.to_string())?;
        }
        if roots.is_empty() {
            return Err("this system trusts no certificate authority: name one with --ca FILE, \
                        or trust anybody with --insecure"
                .to_owned());
        }
        Ok(roots)
    }
}

/// TLS with one server.
#[derive(Clone, Debug)]
pub(super) struct Secure {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Secure {
    /// A new session. Its first bytes wait to be sent.
    pub(super) fn session(&self) -> io::Result<Session> {
        let session = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        let session = session.map_err(|error| broken(&error, true))?;
        Ok(Session { session: Box::new(session), failed: None })
    }
}

/// Certificates signed by authorities that are known.
#[derive(Debug)]
struct Known {
    judge: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = self.judge.verify_server_cert(own, others, name, ocsp, now);
        match judged {
            // What `openssl req -x509` makes: signed by itself, and marked as fit to sign others, for
            // which a server's is refused. Whoever names this very one means it. It has not expired:
            // that is judged before.
            Err(Error::InvalidCertificate(CertificateError::Other(_)))
                if self.named.contains(own) =>
            {
                verify_server_name(&ParsedCertificate::try_from(own)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls12_signature(message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.judge.verify_tls13_signature(message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}

/// Any certificate will do.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What one read came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Got {
    /// None: the server sends no more.
    pub(super) bytes: usize,
    /// Whether the socket had no more for now.
    pub(super) is_all: bool,
}

/// The client's side of a TLS connection.
#[derive(Debug)]
pub(super) struct Session {
    session: Box<ClientConnection>,
    /// How it broke, when what came before has yet to be handed out.
    failed: Option<io::Error>,
}

impl Session {
    /// Goes through with the handshake, as far as the socket lets it. What is to be sent for it may
    /// still wait to be flushed.
    pub(super) fn shake(&mut self, socket: &mut (impl Read + Write)) -> io::Result<()> {
        let mut incoming = Incoming { socket, is_empty: false };
        while self.session.is_handshaking() {
            self.take_in(&mut incoming)?;
        }
        Ok(())
    }

    /// Encrypts as much as there is place for, and sends what the socket takes: 0 when something
    /// taken before has not left. Nothing is encrypted before the handshake is over, but taken.
    pub(super) fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        match self.flush(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
            flushed => flushed?,
        }
        let taken = self.session.writer().write(bytes)?;
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what is encrypted.
    pub(super) fn flush(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.session.wants_write() {
            match self.session.write_tls(socket) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether all that it was given has left.
    pub(super) fn is_idle(&self) -> bool {
        !self.session.is_handshaking() && !self.session.wants_write()
    }

    /// Says that nothing more will be sent (RFC 8446, 6.1).
    pub(super) fn say_end(&mut self) {
        self.session.send_close_notify();
    }

    /// Fills the buffer with what can be decrypted of what the socket has.
    pub(super) fn read(
        &mut self,
        socket: &mut (impl Read + Write),
        buffer: &mut [u8],
    ) -> io::Result<Got> {
        let mut incoming = Incoming { socket, is_empty: false };
        let mut bytes = 0;
        loop {
            let free = buffer.get_mut(bytes..).unwrap_or_default();
            if free.is_empty() {
                return Ok(Got { bytes, is_all: false });
            }
            match self.session.reader().read(free) {
                Ok(0) => return Ok(Got { bytes, is_all: false }),
                Ok(read) => {
                    bytes += read;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without a close_notify: whether it is complete, the WebSocket says.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(Got { bytes, is_all: false });
                }
                Err(error) => return Err(error),
            }
            // With nothing to hand out yet, the socket itself must say that there is no more: its end
            // may have come before this, and readiness tells of it only once.
            if incoming.is_empty && bytes > 0 {
                return Ok(Got { bytes, is_all: true });
            }
            if self.failed.is_none() {
                self.failed = self.take_in(&mut incoming).err();
            }
            match self.failed.take() {
                None => {}
                Some(error) if bytes == 0 => return Err(error),
                Some(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Got { bytes, is_all: true });
                }
                Some(error) => {
                    self.failed = Some(error);
                    return Ok(Got { bytes, is_all: false });
                }
            }
        }
    }

    /// Reads once, and takes in what came.
    fn take_in(&mut self, incoming: &mut Incoming<'_, impl Read + Write>) -> io::Result<()> {
        let shaking = self.session.is_handshaking();
        let read = match self.session.read_tls(incoming) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            read => read?,
        };
        if read == 0 && shaking {
            let text = "the connection ended in the TLS handshake: is it a ws:// server?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let processed = self.session.process_new_packets();
        // The rest of the handshake, or an alert. What the socket does not take now leaves with
        // the next bytes; a broken socket shows at the next read.
        self.flush(incoming.socket).unwrap_or_default();
        processed.map(drop).map_err(|error| broken(&error, shaking))
    }
}

/// The socket as TLS reads it, with a note on whether it has been emptied: a read that returns less
/// than it could has done so (epoll(7), question 9).
struct Incoming<'a, S> {
    socket: &'a mut S,
    is_empty: bool,
}

impl<S: Read> Read for Incoming<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.socket.read(buffer)?;
        self.is_empty = 0 < read && read < buffer.len();
        Ok(read)
    }
}

/// A breach of TLS, in words that say what to do.
fn broken(error: &Error, shaking: bool) -> io::Error {
    let words = match error {
        Error::InvalidCertificate(why) => certificate(why),
        Error::InvalidMessage(_) if shaking => "it speaks no TLS: is it a ws:// server?".to_owned(),
        Error::AlertReceived(alert) => format!("it ended TLS with the alert {alert:?}"),
        Error::PeerIncompatible(why) => format!("no version of TLS that both speak: {why:?}"),
        other => format!("TLS: {other}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn certificate(why: &CertificateError) -> String {
    let date = |time: &UnixTime| {
        let second = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(second).map_or_else(|_| "?".to_owned(), |it| it.to_string())
    };
    match why {
        CertificateError::UnknownIssuer => {
            "its certificate is not signed by anybody trusted here: --ca FILE names an authority, \
             --insecure trusts anybody"
                .to_owned()
        }
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}", date(not_after))
        }
        CertificateError::Expired => "its certificate has expired".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}", date(not_before))
        }
        CertificateError::NotValidYet => "its certificate is not valid yet".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "nobody".to_owned() } else { names.join(", ") };
            format!("its certificate is for {names}, not for {}", expected.to_str())
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// A name that stands in a certificate, without its kind: `DnsName("localhost")`.
fn bare(name: &str) -> &str {
    name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')').trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that gives this, and then is found to have been reset.
    struct Reset(Option<&'static [u8]>);

    impl Read for Reset {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let mut bytes = self.0.take().ok_or(io::ErrorKind::ConnectionReset)?;
            bytes.read(buffer)
        }
    }

    impl Write for Reset {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_end_that_came_before_the_read_is_seen_behind_part_of_a_record() {
        let secure = Tls::new(&[], true).with("localhost").unwrap();
        let mut session = secure.session().unwrap();
        // The head of a record of a hundred bytes, and two of them.
        let mut socket = Reset(Some(&[22, 3, 3, 0, 100, 2, 0]));
        let read = session.read(&mut socket, &mut [0; 64]).unwrap_err();
        assert_eq!(read.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn names_in_certificates_are_shown_without_their_kind() {
        for (shown, name) in [
            ("DnsName(\"localhost\")", "localhost"),
            ("IpAddress(127.0.0.1)", "127.0.0.1"),
            ("plain", "plain"),
        ] {
            assert_eq!(bare(shown), name);
        }
    }
}
