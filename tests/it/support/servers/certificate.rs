//! Certificates for transfers over TLS.

use super::process::{command_of, require_success};
use std::path::Path;

/// The name in the certificate of those that serve transfers over TLS.
pub const TLS_NAME: &str = "xot.test";

/// Makes a certificate for [`TLS_NAME`] that vouches for itself, and its key.
pub fn make_certificate(dir: &Path) {
    make_certificate_of(dir, TLS_NAME);
}

/// Makes a certificate for a name that vouches for itself, and its key.
pub fn make_certificate_of(dir: &Path, name: &str) {
    let mut command = command_of("openssl");
    let subject = format!("/CN={name}");
    let name = format!("subjectAltName=DNS:{name}");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
        ])
        .args(["-nodes", "-days", "30", "-subj", &subject, "-addext", &name])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(dir.join("tls.key"))
        .arg("-out")
        .arg(dir.join("tls.pem"));
    let output = command.output().expect("openssl can be started");
    require_success("the certificate", &output, &dir.join("log"));
}
