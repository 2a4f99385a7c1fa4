//! Reads certificates and keys from files.

use std::io;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates in the file that a setting names.
pub(super) fn certificates(setting: &str, path: &str) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(setting, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(wrong(setting, path, "has no certificate in PEM")),
        Err(error) => Err(wrong(setting, path, &error.to_string())),
    }
}

/// The first key in the file that a setting names.
pub(super) fn key(setting: &str, path: &str) -> io::Result<PrivateKeyDer<'static>> {
    let text = read(setting, path)?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| wrong(setting, path, "has no key in PEM without a password"))
}

/// The trusted CAs, from the certificates in the file that a setting names.
pub(super) fn roots(setting: &str, path: &str) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(setting, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| wrong(setting, path, &error.to_string()))?;
    }
    Ok(roots)
}

/// The CAs that this system trusts. `settings` is the prefix of the settings that they are for.
pub(super) fn roots_of_the_system(settings: &str) -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(super::of(format!(
            "{settings}: this system has no certificates of who is to be trusted; {settings}_ca names some"
        )));
    }
    Ok(roots)
}

fn read(setting: &str, path: &str) -> io::Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| wrong(setting, path, &format!("can't be read: {error}")))
}

fn wrong(setting: &str, path: &str, what: &str) -> io::Error {
    super::of(format!("{setting}: {path:?}: {what}"))
}
