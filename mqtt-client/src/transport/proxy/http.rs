//! The `CONNECT` of HTTP. [RFC 9110, section 9.3.6]

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Credentials, Refusal, Target};
use crate::transport::error::quoted;

/// Bytes of the largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Bytes that are read at once.
const READ_BYTES: usize = 1024;
/// What ends an answer.
const END: &[u8] = b"\r\n\r\n";
/// What begins one.
const BEGINNING: &[u8] = b"HTTP/1.";

/// Asks for a way to the target.
pub(super) async fn connect(
    stream: &mut TcpStream,
    target: &Target,
    credentials: Option<&Credentials>,
) -> Result<(), Refusal> {
    stream
        .write_all(request(target, credentials).as_bytes())
        .await?;
    let answer = read_answer(stream).await?;
    judge(&answer, credentials.is_some())
}

fn request(target: &Target, credentials: Option<&Credentials>) -> String {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(Credentials {
        user_name,
        password,
    }) = credentials
    {
        let plain = [user_name.as_bytes(), b":", password].concat();
        let basic = STANDARD.encode(plain);
        request.push_str(&format!("Proxy-Authorization: Basic {basic}\r\n"));
    }
    request.push_str("\r\n");
    request
}

/// Reads up to the empty line. Nothing may follow it: in MQTT, TLS and WebSockets alike it is the client
/// who speaks first.
async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<String, Refusal> {
    let mut answer = Vec::new();
    let mut chunk = [0; READ_BYTES];
    loop {
        let count = stream.read(&mut chunk).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let seen = answer.len();
        answer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if !BEGINNING.iter().zip(&answer).all(|(want, is)| want == is) {
            return Err(Refusal::nonsense("does not answer in HTTP"));
        }
        let from = seen.saturating_sub(END.len());
        let end = answer.get(from..).unwrap_or_default();
        let end = end.windows(END.len()).position(|window| window == END);
        match end.map(|end| from + end + END.len()) {
            Some(end) if end == answer.len() => break,
            Some(_) => {
                let says = "sends more than its answer, although nothing was said to the server";
                return Err(Refusal::nonsense(says));
            }
            None if answer.len() > ANSWER_BYTES_MAX => {
                let says = format!("sends an answer of more than {ANSWER_BYTES_MAX} bytes");
                return Err(Refusal::nonsense(says));
            }
            None => {}
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str, was_authenticated: bool) -> Result<(), Refusal> {
    let line = answer.lines().next().unwrap_or_default();
    let status = line.split_once(' ').map_or("", |(_, status)| status).trim();
    let code = status.split(' ').next().unwrap_or_default();
    let code: u16 = match code.parse() {
        Ok(code) if (100..600).contains(&code) => code,
        Ok(_) | Err(_) => return Err(Refusal::nonsense("does not answer in HTTP")),
    };
    let says = match code {
        200..=299 => return Ok(()),
        407 if !offers_basic(answer) => {
            "asks for an authentication that this client does not know; it knows Basic".to_owned()
        }
        407 if was_authenticated => "does not accept the user name and password".to_owned(),
        407 => "asks for a user name and password".to_owned(),
        _ => format!("refuses: {}", quoted(status)),
    };
    Err(Refusal::new(io::ErrorKind::PermissionDenied, says))
}

/// Whether Basic is among the authentications that are offered, as far as the answer says.
fn offers_basic(answer: &str) -> bool {
    let mut offers = answer
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("proxy-authenticate"))
        .map(|(_, offer)| offer.to_ascii_lowercase())
        .peekable();
    offers.peek().is_none() || offers.any(|offer| offer.contains("basic"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_named_twice() {
        let target = Target::Address("[::1]:1883".parse().unwrap());
        let expected = "CONNECT [::1]:1883 HTTP/1.1\r\nHost: [::1]:1883\r\n\r\n";
        assert_eq!(request(&target, None), expected);
        let credentials = Credentials {
            user_name: "Aladdin".into(),
            password: "open sesame".into(),
        };
        let expected = "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n";
        assert!(request(&target, Some(&credentials)).ends_with(expected));
    }

    #[tokio::test]
    async fn an_answer_may_come_in_pieces() {
        let whole = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for size in 1..=whole.len() {
            let (mut here, mut there) = tokio::io::duplex(size);
            // The end comes after it, so that an answer that is not seen is no silence.
            let write = async move { there.write_all(whole).await.unwrap() };
            let ((), answer) = tokio::join!(write, read_answer(&mut here));
            let answer = answer.unwrap_or_else(|refusal| panic!("{size}: {}", refusal.says));
            assert_eq!(answer.as_bytes(), whole);
        }
    }

    #[test]
    fn only_success_is_success() {
        let says = |answer: &str| judge(answer, false).map_err(|refusal| refusal.says);
        assert_eq!(says("HTTP/1.1 200 Connection established\r\n\r\n"), Ok(()));
        assert_eq!(says("HTTP/1.0 299\r\n\r\n"), Ok(()));
        let cases = [
            ("HTTP/1.1 403 Nope\x1b[1m\r\n\r\n", "refuses: 403 Nope [1m"),
            ("HTTP/1.1 302 Found\r\n\r\n", "refuses: 302 Found"),
            (
                "HTTP/1.1 407 X\r\n\r\n",
                "asks for a user name and password",
            ),
            (
                "HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Basic realm=\"x\"\r\n\r\n",
                "asks for a user name and password",
            ),
            (
                "HTTP/1.1 407 X\r\nProxy-Authenticate: NTLM\r\n\r\n",
                "asks for an authentication that this client does not know; it knows Basic",
            ),
            ("HTTP/1.1\r\n\r\n", "does not answer in HTTP"),
            ("HTTP/1.1 abc\r\n\r\n", "does not answer in HTTP"),
            ("HTTP/1.1 2000 x\r\n\r\n", "does not answer in HTTP"),
            ("", "does not answer in HTTP"),
        ];
        for (answer, expected) in cases {
            assert_eq!(says(answer).unwrap_err(), expected, "{answer}");
        }
        let refused = judge("HTTP/1.1 407 X\r\n\r\n", true).map_err(|refusal| refusal.says);
        let expected = "does not accept the user name and password";
        assert_eq!(refused.unwrap_err(), expected);
    }
}
