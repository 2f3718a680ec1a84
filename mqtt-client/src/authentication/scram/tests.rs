//! The example of RFC 7677, and all that a server may do wrong.

use proptest::prelude::*;

use super::*;

/// RFC 7677, section 3.
const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

/// The exchange of the RFC, up to where the server is to send its first message.
fn started() -> ScramSha256 {
    let mut scram = ScramSha256::new("user", "pencil");
    let first = scram.start_with(NONCE.to_owned()).unwrap();
    assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    scram
}

/// And up to where it is to send its last.
fn answered() -> ScramSha256 {
    let mut scram = started();
    let last = scram.challenge(SERVER_FIRST.as_bytes()).unwrap();
    assert_eq!(last, CLIENT_FINAL.as_bytes());
    scram
}

fn challenged(server_first: &str) -> String {
    let error = started().challenge(server_first.as_bytes()).unwrap_err();
    error.to_string()
}

fn finished(server_final: &str) -> String {
    let error = answered().finish(Some(server_final.as_bytes()));
    error.unwrap_err().to_string()
}

#[test]
fn the_example_of_the_rfc() {
    answered().finish(Some(SERVER_FINAL.as_bytes())).unwrap();
}

#[test]
fn a_later_connection_hashes_no_password() {
    let mut scram = answered();
    let kept = scram.keys.as_mut().unwrap();
    // Would come out otherwise if the password were hashed again.
    kept.server[0] ^= 1;
    scram.start_with(NONCE.to_owned()).unwrap();
    scram.challenge(SERVER_FIRST.as_bytes()).unwrap();
    let error = scram.finish(Some(SERVER_FINAL.as_bytes())).unwrap_err();
    assert!(matches!(error, AuthenticationError::ServerUnproven));

    let other_count = SERVER_FIRST.replace("i=4096", "i=4097");
    scram.start_with(NONCE.to_owned()).unwrap();
    scram.challenge(other_count.as_bytes()).unwrap();
    scram.start_with(NONCE.to_owned()).unwrap();
    scram.challenge(SERVER_FIRST.as_bytes()).unwrap();
    scram.finish(Some(SERVER_FINAL.as_bytes())).unwrap();
}

#[test]
fn each_start_has_a_nonce_of_its_own() {
    let mut scram = ScramSha256::new("user", "pencil");
    let (one, other) = (scram.start().unwrap(), scram.start().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.len(), "n,,n=user,r=".len() + 24);
    // No nonce has a comma: it would end the field.
    assert_eq!(one.iter().filter(|byte| **byte == b',').count(), 3);
}

#[test]
fn a_server_without_the_password_is_refused() {
    for wrong in [
        SERVER_FINAL.replace("v=6", "v=7"),
        SERVER_FINAL.replace("4=", "8="),
    ] {
        assert_eq!(
            finished(&wrong),
            "the server did not prove that it knows the password"
        );
    }
    let error = answered().finish(None).unwrap_err();
    assert!(matches!(error, AuthenticationError::ServerUnproven));
}

#[test]
fn a_server_says_why_it_refuses() {
    assert_eq!(
        finished("e=invalid-proof"),
        "the server refuses the authentication: invalid-proof"
    );
    assert_eq!(
        challenged("e=unknown-user"),
        "the server refuses the authentication: unknown-user"
    );
    // Nothing reaches a terminal that could do something there.
    assert_eq!(
        finished("e=\u{1b}[2J"),
        r"the server refuses the authentication: \u{1b}[2J"
    );
    let long = format!("e={}", "a".repeat(1000));
    assert!(finished(&long).len() < 120, "{}", finished(&long));
    assert!(finished(&format!("e={}", "é".repeat(100))).ends_with("é"));
    assert!(finished(&format!("e=a{}", "é".repeat(100))).ends_with("other-error"));
}

#[test]
fn a_nonce_must_continue_ours() {
    let changed = SERVER_FIRST.replace("r=r", "r=s");
    assert!(challenged(&changed).ends_with("its nonce does not continue ours"));
    let ours_alone = "r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert!(challenged(ours_alone).ends_with("its nonce does not continue ours"));
    let space = SERVER_FIRST.replace('%', " ");
    assert!(challenged(&space).ends_with("its nonce has a character that it must not have"));
}

#[test]
fn the_iteration_count_is_bounded() {
    for (count, result) in [
        ("1", "hashed 1 times"),
        ("4095", "not within 4096 and 600000"),
        ("600001", "hashed 600001 times"),
        ("4294967296", "hashed 4294967296 times"),
        ("99999999999999999999999", "not within"),
        ("0", "its iteration count is no number"),
        ("04096", "its iteration count is no number"),
        ("+4096", "its iteration count is no number"),
        ("", "its iteration count is no number"),
        ("4096x", "its iteration count is no number"),
    ] {
        let error = challenged(&SERVER_FIRST.replace("4096", count));
        assert!(error.contains(result), "{count}: {error}");
    }
}

#[test]
fn the_salt_is_bounded() {
    let salted = |bytes: usize| {
        let salt = STANDARD.encode(vec![7; bytes]);
        SERVER_FIRST.replace("W22ZaJ0SNY7soEsUEjb6gQ==", &salt)
    };
    assert!(challenged(&salted(0)).ends_with("its salt is empty or too long"));
    assert!(challenged(&salted(257)).ends_with("its salt is empty or too long"));
    assert!(started().challenge(salted(256).as_bytes()).is_ok());
    assert!(started().challenge(salted(1).as_bytes()).is_ok());
    let no_padding = SERVER_FIRST.replace("==", "");
    assert!(challenged(&no_padding).ends_with("its salt is no base64"));
}

#[test]
fn what_is_malformed_is_refused() {
    for (first, result) in [
        ("", "it has no nonce"),
        ("r", "it has no nonce"),
        ("s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", "it has no nonce"),
        ("r=rOprNGfwEbeRWgbNEkqOx", "it has no salt"),
        ("r=rOprNGfwEbeRWgbNEkqOx,i=4096,s=AAAA", "it has no salt"),
        (
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA",
            "it has no iteration count",
        ),
        (
            "m=secret,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096",
            "it demands an extension that is not supported",
        ),
        (
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096,",
            "it has a part that is no field",
        ),
        (
            "r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096,1=2",
            "it has a part that is no field",
        ),
    ] {
        assert!(
            challenged(first).ends_with(result),
            "{first}: {}",
            challenged(first)
        );
    }
    for (last, result) in [
        ("", "it has no signature"),
        ("v=", "its signature is none"),
        ("v=AAAA", "its signature is none"),
        ("v=!", "its signature is none"),
        ("x=AAAA", "it has no signature"),
    ] {
        assert!(
            finished(last).ends_with(result),
            "{last}: {}",
            finished(last)
        );
    }
    let long = format!("{SERVER_FIRST},x={}", "y".repeat(2048));
    assert!(challenged(&long).ends_with("it is too long"));
    let error = started().challenge(&[0xFF]).unwrap_err();
    assert!(error.to_string().ends_with("it is no text"));
}

#[test]
fn extensions_are_ignored_but_signed() {
    let mut scram = started();
    let extended = format!("{SERVER_FIRST},x=1,y=");
    let last = scram.challenge(extended.as_bytes()).unwrap();
    assert_ne!(last, CLIENT_FINAL.as_bytes());
    let mut scram = answered();
    let extended = format!("{SERVER_FINAL},x=1");
    scram.finish(Some(extended.as_bytes())).unwrap();
}

#[test]
fn each_step_has_its_turn() {
    fn out_of_turn<T>(result: &Result<T, AuthenticationError>) -> bool {
        matches!(result, Err(AuthenticationError::OutOfTurn))
    }
    let new = || ScramSha256::new("user", "pencil");
    assert!(out_of_turn(&new().challenge(SERVER_FIRST.as_bytes())));
    assert!(out_of_turn(&new().finish(Some(SERVER_FINAL.as_bytes()))));
    assert!(out_of_turn(
        &started().finish(Some(SERVER_FINAL.as_bytes()))
    ));
    assert!(out_of_turn(&answered().challenge(SERVER_FIRST.as_bytes())));
    let mut again = answered();
    again.finish(Some(SERVER_FINAL.as_bytes())).unwrap();
    assert!(out_of_turn(&again.finish(Some(SERVER_FINAL.as_bytes()))));
    // A failure ends the exchange: there is no second guess.
    let mut failed = answered();
    failed.finish(Some(b"v=AAAA")).unwrap_err();
    assert!(out_of_turn(&failed.finish(Some(SERVER_FINAL.as_bytes()))));
}

#[test]
fn user_names_are_escaped() {
    let mut scram = ScramSha256::new("a=b,c", "pencil");
    let first = scram.start_with(NONCE.to_owned()).unwrap();
    assert_eq!(first, b"n,,n=a=3Db=2Cc,r=rOprNGfwEbeRWgbNEkqO");
}

#[test]
fn what_would_have_to_be_normalised_is_refused() {
    let started = |user: &str, password: &str| {
        let started = ScramSha256::new(user, password).start();
        started.map(drop).map_err(|error| error.to_string())
    };
    for good in [
        "p w",
        "Zoë",
        "Ωμέγα",
        "Ёлка",
        "ひみつ",
        "密码",
        "비밀",
        "5 €",
    ] {
        assert_eq!(started(good, good), Ok(()), "{good}");
    }
    assert_eq!(started("user", ""), Ok(()));
    assert_eq!(started("", "pencil"), Err("the user name is empty".into()));
    assert_eq!(
        started("a\u{7f}", "pencil"),
        Err("the user name contains a control character".into())
    );
    // A soft hyphen vanishes, a Roman numeral is a letter, an accent joins its letter; Hebrew has rules of its own.
    for bad in ["\u{AD}", "\u{2168}", "e\u{301}", "\u{A0}", "\u{5D0}"] {
        let error = started("user", bad).unwrap_err();
        assert!(
            error.starts_with("the password contains a character that"),
            "{error}"
        );
        assert!(!error.contains(bad), "{error}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", answered());
    assert_eq!(shown, r#"ScramSha256 { user: "user", .. }"#);
}

proptest! {
    #[test]
    fn no_bytes_of_a_server_panic(first: Vec<u8>, last: Vec<u8>) {
        let _ = started().challenge(&first);
        let _ = answered_quickly().finish(Some(&last));
    }

    #[test]
    fn no_fields_of_a_server_panic(
        first in "(r=rOprNGfwEbeRWgbNEkqO)?.{0,5}(,[a-z]=[A-Za-z0-9/+]{0,8}={0,2}){0,4}.{0,3}",
        last in "[ve]=.{0,60}(,[a-z]=.{0,4})?",
    ) {
        let _ = started().challenge(first.as_bytes());
        let _ = answered_quickly().finish(Some(last.as_bytes()));
    }
}

/// Waits for the last message, without having hashed anything.
fn answered_quickly() -> ScramSha256 {
    let mut scram = ScramSha256::new("user", "pencil");
    scram.exchange = Exchange::Answered([0; HASH_BYTES]);
    scram
}
