//! An authority, and what it has signed.

use std::fs;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};

/// Files with certificates and keys in a directory of their own, which is removed on drop: `ca.pem`, and a pair for
/// each name.
pub struct Certificates {
    directory: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    /// `server` is for this host, `other` for another, `expired` has expired, `authority` is an authority's, and `client`
    /// a client's.
    pub fn new() -> Self {
        let unique = fastrand::u64(..);
        let name = format!("redis-proxy-certificates-{}-{unique}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        let mut params = params(&[], "the authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        fs::write(directory.join("ca.pem"), authority.pem()).expect("a file");
        let certificates = Self {
            directory,
            authority,
        };
        let here = ["localhost", "127.0.0.1"];
        certificates.sign("server", params_of(&here));
        certificates.sign("client", params_of(&[]));
        certificates.sign("other", params_of(&["redis.example"]));
        let mut expired = params_of(&here);
        expired.not_before = date_time_ymd(2001, 1, 1);
        expired.not_after = date_time_ymd(2002, 1, 1);
        certificates.sign("expired", expired);
        let mut authority = params_of(&here);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        certificates.sign("authority", authority);
        certificates
    }

    /// Makes a pair by that name.
    fn sign(&self, name: &str, params: CertificateParams) {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.authority);
        let certificate = certificate.expect("a certificate").pem();
        fs::write(self.path(&format!("{name}.pem")), certificate).expect("a file");
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).expect("a file");
    }

    /// A file among them.
    pub fn path(&self, name: &str) -> String {
        let path = self.directory.join(name);
        path.into_os_string().into_string().expect("UTF-8")
    }

    /// The files of a certificate and its key.
    pub fn pair(&self, name: &str) -> [String; 2] {
        ["pem", "key"].map(|end| self.path(&format!("{name}.{end}")))
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn params_of(hosts: &[&str]) -> CertificateParams {
    params(hosts, "a test")
}

fn params(hosts: &[&str], name: &str) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| host.to_string()).collect();
    let mut params = CertificateParams::new(hosts).expect("names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}
