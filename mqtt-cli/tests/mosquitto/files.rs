//! A directory for one run: programs by Mosquitto's names, certificates, passwords, messages.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};

/// The directory; it goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    next: AtomicUsize,
}

/// A program on the search path, or where Debian puts servers.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/bin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

impl Files {
    pub(crate) fn new() -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("mqtt-cli-{}-{run}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let files = Self {
            root,
            next: AtomicUsize::new(0),
        };
        files.write(
            "message",
            b"line one\nline two, and \xff a byte that is no text",
        );
        files.write("empty", b"");
        files.certificates();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A directory that nothing else has.
    pub(crate) fn directory(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let directory = self.path(&format!("directory-{number}"));
        std::fs::create_dir_all(&directory).unwrap();
        directory
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Links to `program` by the names of Mosquitto's.
    pub(crate) fn called_like_mosquitto(&self, program: &Path) -> PathBuf {
        let directory = self.path("bin");
        std::fs::create_dir_all(&directory).unwrap();
        for name in ["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"] {
            std::os::unix::fs::symlink(program, directory.join(name)).unwrap();
        }
        directory
    }

    /// An authority, another that signs nothing of use, a server for 127.0.0.1 and localhost, one for another name, and a client.
    fn certificates(&self) {
        let authority = authority();
        self.write("ca.pem", authority.pem());
        self.write("other-ca.pem", self::authority().pem());
        for (name, names) in [
            (
                "server",
                vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
            ),
            ("stranger", vec!["stranger.example".to_owned()]),
            ("client", vec!["client".to_owned()]),
        ] {
            let key = KeyPair::generate().unwrap();
            let mut parameters = CertificateParams::new(names).unwrap();
            parameters.distinguished_name = named(name);
            let certificate = parameters.signed_by(&key, &authority).unwrap();
            self.write(&format!("{name}.pem"), certificate.pem());
            self.write(&format!("{name}.key"), key.serialize_pem());
        }
    }
}

/// Whoever has the name of his authority is taken for one who has signed himself.
fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = named("authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

impl Drop for Files {
    fn drop(&mut self) {
        // What stays behind is in a directory for such things.
        let _ = std::fs::remove_dir_all(&self.root);
    }
}
