//! Who one is, and whom one believes: certificates and keys from PEM files, and the roots of the system.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A certificate, those that lead from it to a root, and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// From what PEM files hold: the certificates in order, its own first, and the key. Both may be the same.
    ///
    /// # Errors
    /// `InvalidData`, if there is no certificate or no key, or one is spoiled.
    pub fn from_pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> io::Result<Self> {
        let chain = certificates_from_pem(certificates.as_ref())?;
        let key = PrivateKeyDer::from_pem_slice(key.as_ref())
            .map_err(|error| spoiled(&format!("no private key: {error}")))?;
        Ok(Self { chain, key })
    }

    /// From PEM files, which are read at once.
    ///
    /// # Errors
    /// As [`from_pem`](Self::from_pem), and what the system says; all name the file.
    pub fn from_pem_files(
        certificates: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        let chain = from_file(certificates.as_ref(), certificates_from_pem)?;
        let key = from_file(key.as_ref(), |pem| {
            PrivateKeyDer::from_pem_slice(pem).map_err(|error| spoiled(&error.to_string()))
        })?;
        Ok(Self { chain, key })
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The roots in the text of a PEM file.
///
/// # Errors
/// `InvalidData`, if there is no certificate, or one is spoiled.
pub fn roots_from_pem(pem: impl AsRef<[u8]>) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates_from_pem(pem.as_ref())? {
        roots.add(certificate).map_err(|error| spoiled(&error.to_string()))?;
    }
    Ok(roots)
}

/// The roots in a PEM file, which is read at once.
///
/// # Errors
/// As [`roots_from_pem`], and what the system says; all name the file.
pub fn roots_from_pem_file(path: impl AsRef<Path>) -> io::Result<RootCertStore> {
    from_file(path.as_ref(), |pem| roots_from_pem(pem))
}

/// The roots that the system believes: those of the files that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, or
/// else of the usual places. They are read once in a process, which takes some milliseconds.
///
/// # Errors
/// `NotFound`, if there are none.
pub fn system_roots() -> io::Result<Arc<RootCertStore>> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that nothing can be checked against; the others are good all the same.
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        let why = loaded.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        let text = format!("the system has no root certificates{why}");
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

fn certificates_from_pem(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err(spoiled("no certificate")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(spoiled(&error.to_string())),
    }
}

fn from_file<T>(path: &Path, parse: impl FnOnce(&[u8]) -> io::Result<T>) -> io::Result<T> {
    let parsed = fs::read(path).and_then(|pem| parse(&pem));
    parsed.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn spoiled(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
