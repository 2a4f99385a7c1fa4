//! What can be wrong with TLS, and what to do about it.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Why there is no connection if it was closed before it was one.
pub(super) const CLOSED_IN_HANDSHAKE: &str =
    "it closed the connection in the handshake of TLS: it may not speak TLS, or not to this host";

/// The error, in words that say what to do.
pub(super) fn explain(error: Error) -> io::Error {
    let words = match &error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(_) => {
            "it does not speak TLS: turn redis_tls off, or write redis:// for rediss://".to_owned()
        }
        error => format!("TLS failed: {error}"),
    };
    io::Error::new(ErrorKind::InvalidData, words)
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it, unless the clock of this host is wrong"
                .to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: the clock of this host may be wrong".to_owned()
        }
        CertificateError::UnknownIssuer => {
            "its certificate is signed by nobody who is trusted: name the right one by redis_tls_ca"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{error}: redis_tls_server_name names the right one")
        }
        error => format!("its certificate is not valid: {error}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it asks for a certificate: give redis_tls_cert and redis_tls_key".to_owned()
        }
        AlertDescription::HandshakeFailure => {
            "it refuses the handshake of TLS: it may ask for a certificate (redis_tls_cert and redis_tls_key)"
                .to_owned()
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown => {
            format!("it refuses the certificate of redis_tls_cert: {alert:?}")
        }
        alert => format!("it ended TLS: {alert:?}"),
    }
}
