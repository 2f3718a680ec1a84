//! A SOCKS5 proxy for the broker on this machine (RFC 1928, and RFC 1929 for `joe` with `secret`).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};

const NO_AUTHENTICATION: u8 = 0;
const USER_AND_PASSWORD: u8 = 2;
const NONE_ACCEPTED: u8 = 0xFF;

/// Starts a proxy that serves for as long as the test runs; its port.
pub(crate) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // A client that goes away in between is no matter for the test.
            std::thread::spawn(move || drop(serve(client)));
        }
    });
    port
}

fn serve(mut client: TcpStream) -> io::Result<()> {
    let [_version, count] = bytes(&mut client)?;
    let mut methods = vec![0; count.into()];
    client.read_exact(&mut methods)?;
    if methods.contains(&USER_AND_PASSWORD) {
        client.write_all(&[5, USER_AND_PASSWORD])?;
        let [_version] = bytes(&mut client)?;
        let (user, password) = (text(&mut client)?, text(&mut client)?);
        let is_joe = (user.as_str(), password.as_str()) == ("joe", "secret");
        client.write_all(&[1, u8::from(!is_joe)])?;
        if !is_joe {
            return Ok(());
        }
    } else if methods.contains(&NO_AUTHENTICATION) {
        client.write_all(&[5, NO_AUTHENTICATION])?;
    } else {
        return client.write_all(&[5, NONE_ACCEPTED]);
    }
    let [_version, _connect, _reserved, kind] = bytes(&mut client)?;
    let host = match kind {
        1 => Ipv4Addr::from(bytes::<4>(&mut client)?).to_string(),
        _ => text(&mut client)?,
    };
    let port = u16::from_be_bytes(bytes(&mut client)?);
    let mut server = TcpStream::connect((host, port))?;
    client.write_all(&[5, 0, 0, 1, 127, 0, 0, 1, 0, 0])?;
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    std::thread::spawn(move || {
        let copied = io::copy(&mut from_server, &mut to_client);
        // The client is to see the end.
        copied.and_then(|_| to_client.shutdown(Shutdown::Both))
    });
    io::copy(&mut client, &mut server)?;
    server.shutdown(Shutdown::Write)
}

fn bytes<const COUNT: usize>(client: &mut TcpStream) -> io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A text with its length in front.
fn text(client: &mut TcpStream) -> io::Result<String> {
    let [length] = bytes(client)?;
    let mut text = vec![0; length.into()];
    client.read_exact(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}
