//! What the server speaks TLS with: a certificate and its key, from PEM files.

use std::{fs, io, path::Path, sync::Arc};

use rustls::{
    ServerConfig, ServerConnection,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    version::{TLS12, TLS13},
};

/// A certificate chain and its key, ready to be served with.
#[derive(Debug, Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads a certificate chain (the server's own first) and its key.
    ///
    /// # Errors
    /// One line for the user: which file is wrong, and how.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self, String> {
        let of_cert = |fact: String| format!("--tls-cert {}: {fact}", cert.display());
        let of_key = |fact: String| format!("--tls-key {}: {fact}", key.display());
        let chain = fs::read(cert).map_err(|error| of_cert(error.to_string()))?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&chain)
            .collect::<Result<_, _>>()
            .map_err(|error| of_cert(error.to_string()))?;
        if chain.is_empty() {
            return Err(of_cert("no certificate in it; PEM is wanted".to_owned()));
        }
        let text = fs::read(key).map_err(|error| of_key(error.to_string()))?;
        let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
            of_key(match error {
                pem::Error::NoItemsFound if is_encrypted(&text) => {
                    "the key is encrypted; `openssl pkey -in KEY -out PLAIN` takes that off".into()
                }
                pem::Error::NoItemsFound => "no private key in it; PEM is wanted".into(),
                other => other.to_string(),
            })
        })?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => {
                    of_key(format!("it is not the key of the certificate in {}", cert.display()))
                }
                rustls::Error::InvalidCertificate(_) => of_cert(error.to_string()),
                other => of_key(other.to_string()),
            })?;
        Ok(Self::new(config))
    }

    fn new(mut config: ServerConfig) -> Self {
        // Browsers offer HTTP/2 as well, and go by the answer (RFC 7301).
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(config))
    }

    /// The server's side of a new connection.
    pub(crate) fn session(&self) -> io::Result<ServerConnection> {
        ServerConnection::new(self.0.clone()).map_err(io::Error::other)
    }
}

fn is_encrypted(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("ENCRYPTED")
}
