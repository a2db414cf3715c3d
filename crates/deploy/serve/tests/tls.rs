//! Encrypted connections, and a certificate that is renewed.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use support::Service;
use support::toy::Toy;

/// A certificate for localhost that signs itself; `None` without the program `openssl`.
fn certificate(dir: &Path, name: &str) -> Option<offramp_serve::Tls> {
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args([
            "-subj",
            &format!("/CN={name}"),
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&certificate)
        .output();
    match made {
        Ok(output) if output.status.success() => Some(offramp_serve::Tls { certificate, key }),
        _ => None,
    }
}

fn get(service: &Service, tls: &offramp_serve::Tls) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    let own = CertificateDer::from_pem_file(&tls.certificate).unwrap();
    roots.add(own).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(service.address)?);
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn connections_are_encrypted_and_the_certificate_is_renewed() {
    let dir = tempfile::tempdir().unwrap();
    let Some(tls) = certificate(dir.path(), "first") else {
        eprintln!("skipped: no program openssl to make a certificate with");
        return;
    };
    let files = tls.clone();
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.tls = Some(files)
    });
    assert!(get(&service, &tls).unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(service.get("/healthz").status, 0, "not without encryption");

    certificate(dir.path(), "second").unwrap();
    assert!(
        get(&service, &tls).is_err(),
        "the old certificate is still in use"
    );
    service.reload();
    assert!(get(&service, &tls).unwrap().starts_with("HTTP/1.1 200"));

    std::fs::write(&tls.key, "no key").unwrap();
    service.reload();
    assert!(
        get(&service, &tls).unwrap().starts_with("HTTP/1.1 200"),
        "what was good stays"
    );
}

#[test]
fn files_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cert.pem");
    std::fs::write(&path, "nothing").unwrap();
    let config = offramp_serve::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(offramp_serve::Tls {
            certificate: path.clone(),
            key: path,
        }),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let bind = offramp_serve::Server::bind(config, vec![Box::new(Toy::default())]);
    let error = runtime.block_on(bind).err().unwrap().to_string();
    assert!(error.contains("cert.pem"), "{error}");
}
