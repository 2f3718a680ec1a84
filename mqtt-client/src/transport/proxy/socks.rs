//! SOCKS5. [RFC 1928, RFC 1929]

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Credentials, Refusal, Target};

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const USER_NAME_AND_PASSWORD: u8 = 2;
/// The version of the exchange of user name and password.
const AUTHENTICATION_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const RESERVED: u8 = 0;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// Asks for a way to the target. Exactly the bytes of the answers are read.
pub(super) async fn connect(
    stream: &mut TcpStream,
    target: &Target,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal> {
    authenticate(stream, credentials).await?;
    stream.write_all(&request(target)?).await?;
    let [version, reply, _, kind] = read(stream).await?;
    check_version(version)?;
    if reply != 0 {
        return Err(Refusal::new(kind_of(reply), refusal(reply)));
    }
    skip_address(stream, kind).await
}

async fn authenticate(
    stream: &mut TcpStream,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal> {
    let greeting: &[u8] = match credentials {
        Some(_) => &[VERSION, 2, NO_AUTHENTICATION, USER_NAME_AND_PASSWORD],
        None => &[VERSION, 1, NO_AUTHENTICATION],
    };
    stream.write_all(greeting).await?;
    let [version, method] = read(stream).await?;
    check_version(version)?;
    match (method, credentials) {
        (NO_AUTHENTICATION, _) => Ok(()),
        (USER_NAME_AND_PASSWORD, Some(credentials)) => log_in(stream, credentials).await,
        (0xff, None) => Err(denied("asks for a user name and password")),
        (0xff, Some(_)) => Err(denied("takes no user name and password")),
        (other, _) => {
            let says = format!("chose authentication {other}, which was not offered");
            Err(Refusal::nonsense(says))
        }
    }
}

async fn log_in(stream: &mut TcpStream, credentials: &Credentials) -> Result<(), Refusal> {
    let mut bytes = vec![AUTHENTICATION_VERSION];
    push_counted(&mut bytes, credentials.user_name.as_bytes())?;
    push_counted(&mut bytes, &credentials.password)?;
    stream.write_all(&bytes).await?;
    match read(stream).await? {
        [AUTHENTICATION_VERSION, 0] => Ok(()),
        [AUTHENTICATION_VERSION, _] => Err(denied("does not accept the user name and password")),
        [_, _] => Err(Refusal::nonsense("does not answer in SOCKS5")),
    }
}

fn request(target: &Target) -> Result<Vec<u8>, Refusal> {
    let mut bytes = vec![VERSION, CONNECT, RESERVED];
    let port = match target {
        Target::Name(network) => {
            bytes.push(NAME);
            push_counted(&mut bytes, network.host.as_bytes())?;
            network.port
        }
        Target::Address(SocketAddr::V4(address)) => {
            bytes.push(IPV4);
            bytes.extend(address.ip().octets());
            address.port()
        }
        Target::Address(SocketAddr::V6(address)) => {
            bytes.push(IPV6);
            bytes.extend(address.ip().octets());
            address.port()
        }
    };
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

fn push_counted(bytes: &mut Vec<u8>, text: &[u8]) -> Result<(), Refusal> {
    let Ok(count) = u8::try_from(text.len()) else {
        let says = "cannot be asked: SOCKS5 has no room for names beyond 255 bytes";
        return Err(Refusal::new(io::ErrorKind::InvalidInput, says));
    };
    bytes.push(count);
    bytes.extend_from_slice(text);
    Ok(())
}

/// Reads what the proxy is bound to, which is of no interest.
async fn skip_address(stream: &mut TcpStream, kind: u8) -> Result<(), Refusal> {
    let count = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [count] = read(stream).await?;
            usize::from(count)
        }
        _ => return Err(Refusal::nonsense("does not answer in SOCKS5")),
    };
    let mut bytes = vec![0; count + size_of::<u16>()];
    stream.read_exact(&mut bytes).await?;
    Ok(())
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Result<[u8; N], Refusal> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn check_version(version: u8) -> Result<(), Refusal> {
    match version {
        VERSION => Ok(()),
        // The first letter of an answer in HTTP.
        b'H' => Err(Refusal::nonsense(
            "answers in HTTP: perhaps its URL begins with http://",
        )),
        _ => Err(Refusal::nonsense("does not answer in SOCKS5")),
    }
}

fn denied(says: &str) -> Refusal {
    Refusal::new(io::ErrorKind::PermissionDenied, says)
}

const fn kind_of(reply: u8) -> io::ErrorKind {
    match reply {
        2 => io::ErrorKind::PermissionDenied,
        3 => io::ErrorKind::NetworkUnreachable,
        4 => io::ErrorKind::HostUnreachable,
        5 => io::ErrorKind::ConnectionRefused,
        6 => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    }
}

fn refusal(reply: u8) -> String {
    let cause = match reply {
        1 => "general failure",
        2 => "its rules do not allow the connection",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the server refused the connection",
        6 => "the time was up",
        7 => "it does not know the command CONNECT",
        8 => "it does not know this type of address",
        other => return format!("refuses with the unknown code {other}"),
    };
    format!("refuses: {cause}")
}
