use proptest::prelude::*;

use super::*;

fn parse(url: &str) -> Address {
    url.parse().unwrap_or_else(|error| panic!("{url}: {error}"))
}

fn error(url: &str) -> AddressError {
    match url.parse::<Address>() {
        Ok(address) => panic!("{url} is taken for {address}"),
        Err(error) => error,
    }
}

#[test]
fn schemes_have_their_ports() {
    let cases = [
        ("mqtt://h", Scheme::Tcp, 1883),
        ("tcp://h", Scheme::Tcp, 1883),
        ("mqtts://h", Scheme::Tls, 8883),
        ("ssl://h", Scheme::Tls, 8883),
        ("TLS://h", Scheme::Tls, 8883),
        ("ws://h", Scheme::WebSocket, 80),
        ("wss://h", Scheme::SecureWebSocket, 443),
        ("mqtt://h:1884", Scheme::Tcp, 1884),
        ("wss://h:8084/", Scheme::SecureWebSocket, 8084),
    ];
    for (url, scheme, port) in cases {
        let address = parse(url);
        assert_eq!(address.scheme(), scheme, "{url}");
        assert_eq!(address.port(), Some(port), "{url}");
        assert_eq!(address.host(), Some("h"), "{url}");
    }
}

#[test]
fn a_websocket_has_a_path_of_its_own() {
    assert_eq!(parse("ws://h").path(), "/mqtt");
    assert_eq!(parse("ws://h/").path(), "/");
    assert_eq!(parse("ws://h/a/b").path(), "/a/b");
    assert_eq!(parse("ws://h/a b/ü#").path(), "/a%20b/%C3%BC%23");
    assert_eq!(parse("mqtt://h").path(), "");
}

#[test]
fn a_path_after_tcp_is_a_topic() {
    let topic = |url: &str| parse(url).topic().map(Cow::into_owned);
    assert_eq!(topic("mqtt://h/a/b").as_deref(), Some("a/b"));
    assert_eq!(topic("mqtt://h//a").as_deref(), Some("/a"));
    assert_eq!(topic("mqtts://h/a/+/#").as_deref(), Some("a/+/#"));
    assert_eq!(topic("mqtt://h/a%20b c").as_deref(), Some("a b c"));
    assert_eq!(topic("mqtt://h/100%").as_deref(), Some("100%"));
    assert_eq!(topic("mqtt://h/"), None);
    assert_eq!(topic("mqtt://h"), None);
    assert_eq!(topic("ws://h/a"), None);
    assert_eq!(topic("unix:///a"), None);
}

#[test]
fn user_names_and_passwords_are_decoded() {
    let user = |url: &str| {
        let address = parse(url);
        let password = address.password().map(<[u8]>::to_vec);
        (address.user_name().map(str::to_owned), password)
    };
    let text = |text: &str| Some(text.to_owned());
    let bytes = |bytes: &[u8]| Some(bytes.to_vec());
    assert_eq!(user("mqtt://h"), (None, None));
    assert_eq!(user("mqtt://u@h"), (text("u"), None));
    assert_eq!(user("mqtt://u:@h"), (text("u"), bytes(b"")));
    assert_eq!(user("mqtt://:p@h"), (None, bytes(b"p")));
    assert_eq!(user("mqtt://a%3Ab:c:d@h"), (text("a:b"), bytes(b"c:d")));
    assert_eq!(user("mqtt://a@b:c@d@h"), (text("a@b"), bytes(b"c@d")));
    assert_eq!(user("mqtt://u:%ff%00@h"), (text("u"), bytes(&[0xff, 0])));
    assert_eq!(user("unix://u:p@/run/x"), (text("u"), bytes(b"p")));
}

#[test]
fn addresses_of_ipv6_stand_in_brackets() {
    let address = parse("mqtt://[::1]:1884/t");
    assert_eq!(address.host(), Some("::1"));
    assert_eq!(address.port(), Some(1884));
    assert_eq!(address.to_string(), "mqtt://[::1]:1884/t");
    assert_eq!(parse("ws://[2001:DB8::0:1]").host(), Some("2001:db8::1"));
    assert_eq!(
        parse("mqtt://[fe80::1%25eth0]").host(),
        Some("fe80::1%eth0")
    );
    assert_eq!(parse("mqtt://[fe80::1%eth0]").host(), Some("fe80::1%eth0"));
    for bracket in ["mqtt://::1", "mqtt://[::1", "mqtt://[::1]1883"] {
        assert_eq!(error(bracket), AddressError::Brackets, "{bracket}");
    }
    for host in ["mqtt://[::g]", "mqtt://[fe80::1%]", "mqtt://[::1%a/b]"] {
        assert!(host.parse::<Address>().is_err(), "{host}");
    }
}

#[test]
fn the_query_sets_options() {
    let address = parse("mqtt://h/t?client_id=a%26b&keep_alive=30&&clean_start&x=1");
    let pairs: Vec<(&str, &str)> = address
        .options()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let expected = [
        ("client_id", "a&b"),
        ("keep_alive", "30"),
        ("clean_start", ""),
        ("x", "1"),
    ];
    assert_eq!(pairs, expected);
    assert_eq!(address.topic().as_deref(), Some("t"));
    assert_eq!(parse("unix:///s?version=5").options().len(), 1);
    assert_eq!(parse("mqtt://h?version=5").options().len(), 1);
}

#[test]
fn a_websocket_leaves_the_rest_of_the_query_to_its_server() {
    let address = parse("wss://h/mqtt?X-Sig=a%2Bb&client_id=c&token=%zz ü");
    assert_eq!(address.options(), [("client_id".into(), "c".into())]);
    let Place::Network(network) = address.place() else {
        panic!("{address} is no place in the network");
    };
    assert_eq!(network.query, "X-Sig=a%2Bb&token=%zz%20%C3%BC");
    assert_eq!(address.to_string(), "wss://h:443/mqtt");
}

#[test]
fn sockets_are_files() {
    let socket = |url: &str| parse(url).socket().map(Path::to_owned);
    assert_eq!(socket("unix:///run/x.sock"), Some("/run/x.sock".into()));
    assert_eq!(socket("unix:///a%20b"), Some("/a b".into()));
    assert_eq!(socket("mqtt://h"), None);
    for path in ["unix://", "unix:///", "unix://run/x.sock"] {
        assert_eq!(error(path), AddressError::SocketPath, "{path}");
    }
    let address = Address::unix("/run/x");
    assert_eq!(address.to_string(), "unix:///run/x");
    assert_eq!((address.host(), address.port()), (None, None));
}

#[test]
fn what_is_no_address_says_what_was_expected() {
    let cases = [
        ("localhost", AddressError::NoScheme),
        ("localhost:1883", AddressError::NoScheme),
        ("", AddressError::NoScheme),
        ("://h", AddressError::NoScheme),
        ("u:secret@h://", AddressError::NoScheme),
        ("quic://h", AddressError::UnknownScheme("quic".into())),
        ("https://h", AddressError::Http),
        ("mqtt://", AddressError::NoHost),
        ("mqtt://:1883", AddressError::NoHost),
        ("mqtt:///topic", AddressError::NoHost),
        ("mqtt://a b", AddressError::Host),
        ("mqtt://bücher.example", AddressError::Host),
        ("mqtt://h:0", AddressError::Port),
        ("mqtt://h:65536", AddressError::Port),
        ("mqtt://h:+1", AddressError::Port),
        ("mqtt://h:", AddressError::Port),
        ("mqtt://user:se/cret@h", AddressError::UserNotEscaped),
        ("mqtt://us%er@h", AddressError::Escape { part: "user name" }),
        ("mqtt://u:50%@h", AddressError::Escape { part: "password" }),
        ("mqtt://%ff@h", AddressError::Escape { part: "user name" }),
        ("unix:///%ff", AddressError::Escape { part: "path" }),
        ("mqtt://h?a=%", AddressError::Escape { part: "query" }),
        ("mqtt://h\r\n/", AddressError::ControlCharacter),
    ];
    for (url, expected) in cases {
        assert_eq!(error(url), expected, "{url}");
    }
    let long = format!("mqtt://{}", "x".repeat(254));
    assert_eq!(error(&long), AddressError::Host);
    assert!(long[..long.len() - 1].parse::<Address>().is_ok());
    let text = error("quic://h").to_string();
    let expected = "the scheme quic is unknown: expected mqtt, mqtts, ws, wss, or unix";
    assert_eq!(text, expected);
}

#[test]
fn no_password_is_shown() {
    let address = parse("mqtts://press%0a17:secret@h/t?token=secret");
    assert_eq!(address.to_string(), "mqtts://press%0A17@h:8883/t");
    assert_eq!(
        format!("{address:?}"),
        "Address(mqtts://press%0A17@h:8883/t)"
    );
    for url in ["mqtt://u:se/secret@h", "mqtt://u:secret@h:x", "u:secret@h"] {
        let error = error(url);
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret"), "{text}");
    }
}

#[test]
fn addresses_are_made_without_a_url() {
    let address = Address::tcp("::1", 1883).unwrap();
    assert_eq!(address, parse("mqtt://[::1]"));
    assert_eq!(Address::tls("[::1]", 8883).unwrap(), parse("mqtts://[::1]"));
    let address = Address::websocket("h", 80, "/a?b=c").unwrap();
    assert_eq!(address, parse("ws://h/a?b=c"));
    let address = Address::secure_websocket("h", 443, "/mqtt").unwrap();
    assert_eq!(address, parse("wss://h"));
    assert_eq!(Address::tcp("a\r\nb", 1), Err(AddressError::Host));
    assert_eq!(Address::tcp("h", 0), Err(AddressError::Port));
    let error = Address::websocket("h", 80, "mqtt");
    assert_eq!(error, Err(AddressError::WebSocketPath));
    let error = Address::websocket("h", 80, "/\n");
    assert_eq!(error, Err(AddressError::ControlCharacter));
}

#[test]
fn a_server_reference_leads_elsewhere() {
    let address = parse("mqtts://u:p@h:1/t?version=5");
    let found = address.redirected("a  b:8884 [2001:db8::1]:99").unwrap();
    let shown: Vec<String> = found.iter().map(Address::to_string).collect();
    let expected = [
        "mqtts://u@a:8883/t",
        "mqtts://u@b:8884/t",
        "mqtts://u@[2001:db8::1]:99/t",
    ];
    assert_eq!(shown, expected);
    assert_eq!(found[0].password(), Some(&b"p"[..]));
    assert_eq!(address.redirected(""), Ok(Vec::new()));
    assert_eq!(address.redirected("a/b"), Err(AddressError::Host));
    assert_eq!(address.redirected(&"a ".repeat(1000)).unwrap().len(), 16);
    assert!(parse("unix:///s").redirected("a").is_err());
}

proptest! {
    #[test]
    fn any_text_is_an_address_or_an_error(url in "\\PC*") {
        let _ = url.parse::<Address>();
    }

    #[test]
    fn what_is_shown_is_an_address(
        scheme in prop_oneof!["mqtt", "mqtts", "ws", "wss"],
        user in "[^\\x00-\\x1f\\x7f-\\x9f/?@:%]{0,8}",
        host in "[a-z0-9.-]{1,12}",
        port in 1..=u16::MAX,
        path in "(/[^\\x00-\\x1f\\x7f-\\x9f?]{0,12})?",
    ) {
        let address = parse(&format!("{scheme}://{user}@{host}:{port}{path}"));
        prop_assert_eq!(parse(&address.to_string()), address);
    }
}
