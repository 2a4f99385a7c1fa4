//! What can be wrong with TLS, and what to do about it.

use std::io::{self, ErrorKind};

use rustls::{AlertDescription, CertificateError, Error};

/// Who is on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Redis,
    Client,
}

/// Why a handshake is given up that takes too long.
pub(super) fn late(side: Side) -> &'static str {
    match side {
        Side::Redis => {
            "it accepts connections, but the handshake of TLS did not end in time: if it does not speak TLS, turn \
             redis_tls off, or write redis:// for rediss://"
        }
        Side::Client => "the handshake of TLS did not end in time",
    }
}

/// Why a connection came to nothing that was closed in the handshake.
pub(super) fn closed(side: Side) -> &'static str {
    match side {
        Side::Redis => {
            "it closed the connection in the handshake of TLS: if it does not speak TLS, turn redis_tls off, or \
             write redis:// for rediss://"
        }
        Side::Client => "it closed the connection in the handshake of TLS",
    }
}

/// The error, in words that say what to do if it is Redis's.
pub(super) fn explain(side: Side, error: &Error) -> io::Error {
    let words = match (side, error) {
        (Side::Redis, Error::InvalidCertificate(error)) => of_certificate(error),
        (Side::Redis, Error::AlertReceived(alert)) => of_alert(*alert),
        (Side::Redis, Error::InvalidMessage(_)) => {
            "it does not speak TLS: turn redis_tls off, or write redis:// for rediss://".to_owned()
        }
        (Side::Client, Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        (_, error) => format!("TLS failed: {error}"),
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
        // Of one who has the name of somebody who is trusted, the signature is wrong.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "its certificate is signed by nobody who is trusted: redis_tls_ca names who is"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("{error}: redis_tls_server_name says which name it is to be for")
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
