//! The errors of TLS, and how to remedy them.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Who the peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Redis,
    Client,
}

/// Why a handshake that takes too long is given up.
pub(super) fn late(side: Side) -> &'static str {
    match side {
        Side::Redis => {
            "it accepts connections, but the TLS handshake timed out: if it does not speak TLS, set \
             redis_tls off, or use redis:// instead of rediss://"
        }
        Side::Client => "the TLS handshake timed out",
    }
}

/// Why a connection was closed in the handshake.
pub(super) fn closed(side: Side) -> &'static str {
    match side {
        Side::Redis => {
            "it closed the connection during the TLS handshake: if it does not speak TLS, set redis_tls off, or \
             use redis:// instead of rediss://"
        }
        Side::Client => "it closed the connection during the TLS handshake",
    }
}

/// The error, with a remedy if the peer is Redis.
pub(super) fn explain(side: Side, error: &Error) -> io::Error {
    let words = match (side, error) {
        (Side::Redis, Error::InvalidCertificate(error)) => of_certificate(error),
        (Side::Redis, Error::AlertReceived(alert)) => of_alert(*alert),
        (Side::Redis, Error::InvalidMessage(_)) => {
            "it does not speak TLS: set redis_tls off, or use redis:// instead of rediss://"
                .to_owned()
        }
        (Side::Client, Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        (_, error) => format!("TLS failed: {error}"),
    };
    io::Error::new(ErrorKind::InvalidData, words)
}

fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired: renew it, or check this host's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet: check this host's clock".to_owned()
        }
        // If a certificate has the name of a trusted CA but not its key, the signature is invalid.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by an unknown CA: add it with redis_tls_ca".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{error}: redis_tls_server_name sets the expected name")
        }
        // These errors of the verifier have no other name here.
        CertificateError::Other(error) if error.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is that of a CA: issue one for the server (basicConstraints CA:FALSE)"
                .to_owned()
        }
        error => format!("its certificate is not valid: {error}"),
    }
}

fn of_alert(alert: AlertDescription) -> String {
    match alert {
        AlertDescription::CertificateRequired => {
            "it requires a client certificate: set redis_tls_cert and redis_tls_key".to_owned()
        }
        AlertDescription::HandshakeFailure => {
            "it refused the TLS handshake: it may require a client certificate (redis_tls_cert and redis_tls_key)"
                .to_owned()
        }
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown => {
            format!("it rejected the certificate in redis_tls_cert: {alert:?}")
        }
        alert => format!("it ended TLS: {alert:?}"),
    }
}
