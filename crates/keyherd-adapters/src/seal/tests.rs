//! What a keyring opens, and what it must not.

use super::*;

const HERE: Context<'static> =
    Context { installation: &[7; 16], kind: "chain.access_token", row: 42, generation: 3 };

fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| MasterKey::from_bytes([*seed; KEY_LEN])).collect()).unwrap()
}

#[test]
fn what_was_sealed_opens_in_its_place() {
    let ring = keyring(&[1]);
    for plain in [&b""[..], b"ya29.secret", &[0xff; 5_000]] {
        let sealed = ring.seal(&HERE, plain).unwrap();
        assert_eq!(sealed.len(), plain.len() + OVERHEAD);
        assert_eq!(sealed.capacity(), sealed.len());
        assert_eq!(&**ring.open(&HERE, &sealed).unwrap(), plain);
    }
}

#[test]
fn it_opens_nowhere_else() {
    let ring = keyring(&[1]);
    let sealed = ring.seal(&HERE, b"secret").unwrap();
    let elsewhere = [
        Context { installation: &[8; 16], ..HERE },
        Context { kind: "chain.refresh_token", ..HERE },
        Context { kind: "chain.access_tokens", ..HERE },
        Context { row: 43, ..HERE },
        Context { row: -42, ..HERE },
        Context { generation: 4, ..HERE },
        Context { row: 3, generation: 42, ..HERE },
    ];
    for other in elsewhere {
        assert_eq!(ring.open(&other, &sealed), Err(SealError::Damaged), "{other:?}");
    }
}

#[test]
fn every_changed_byte_is_noticed() {
    let ring = keyring(&[1]);
    let sealed = ring.seal(&HERE, b"secret").unwrap();
    for at in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(ring.open(&HERE, &changed).is_err(), "byte {at}");
        assert!(ring.open(&HERE, &sealed[..at]).is_err(), "cut at {at}");
    }
    assert!(ring.open(&HERE, &[&sealed[..], b"x"].concat()).is_err());
}

#[test]
fn the_first_key_seals_and_all_open() {
    let (old, new) = (keyring(&[1]), keyring(&[2, 1]));
    let sealed = old.seal(&HERE, b"secret").unwrap();
    assert_eq!(&**new.open(&HERE, &sealed).unwrap(), b"secret");
    assert_eq!(Keyring::key_of(&sealed), Some(old.sealing()));
    let resealed = new.seal(&HERE, b"secret").unwrap();
    assert_eq!(Keyring::key_of(&resealed), Some(new.sealing()));
    assert_ne!(new.sealing(), old.sealing());
    assert!(new.holds(old.sealing()) && !old.holds(new.sealing()));
    assert_eq!(old.open(&HERE, &resealed), Err(SealError::UnknownKey(new.sealing())));
}

#[test]
fn rotating_puts_a_new_key_in_front_and_drops_the_old_ones_when_told() {
    let old = keyring(&[1]);
    let sealed = old.seal(&HERE, b"secret").unwrap();
    let both = old.rotated().unwrap();
    assert!(both.holds(old.sealing()) && both.sealing() != old.sealing());
    let alone = both.sealing_only();
    assert_eq!(alone.sealing(), both.sealing());
    assert_eq!(alone.open(&HERE, &sealed), Err(SealError::UnknownKey(old.sealing())));
}

#[test]
fn two_seals_of_one_text_have_nothing_in_common() {
    let ring = keyring(&[1]);
    let (one, two) = (ring.seal(&HERE, &[0; 64]).unwrap(), ring.seal(&HERE, &[0; 64]).unwrap());
    assert_ne!(one[9..33], two[9..33]);
    assert_ne!(one[33..], two[33..]);
}

#[test]
fn the_format_stays_what_it_is() {
    // Made by another program from the description of version 1 (SHA-256, HKDF, XChaCha20-Poly1305 by their RFCs),
    // under master key [1; 32] and the nonce 0, 1, 2 … 23. It must open for ever.
    const SEALED: &str =
        "ATBXSecjBtGPAAECAwQFBgcICQoLDA0ODxAREhMUFRYXdaa6FjvRDcDH2s2PYWHyMum/WKYNrlTcjXFi697q";
    use base64::Engine;
    let sealed = base64::engine::general_purpose::STANDARD.decode(SEALED).unwrap();
    assert_eq!(&**keyring(&[1]).open(&HERE, &sealed).unwrap(), b"from version 1");
}

#[test]
fn keys_are_read_in_every_usual_spelling() {
    // 0xfb, 0xff … is where the two alphabets differ: '+' and '/' against '-' and '_'.
    let bytes = [0xfb_u8, 0xff, 0xbf].iter().copied().cycle().take(KEY_LEN).collect::<Vec<_>>();
    let id = MasterKey::from_bytes(bytes.clone().try_into().unwrap()).id();
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
    for word in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD].map(|engine| engine.encode(&bytes))
    {
        let other = STANDARD.encode([9; KEY_LEN]);
        for text in [
            word.clone(),
            format!("  {word}\n"),
            format!("{word},{other}"),
            format!("{word} , {other},\n"),
            format!("# a comment, with a comma\r\n{word}\r\n\r\n  # {other}\r\n{other}\r\n"),
            format!("{word}\n{word}"),
        ] {
            assert_eq!(Keyring::parse(&text).map(|ring| ring.sealing()), Ok(id), "{text:?}");
        }
    }
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let of_len = |len: usize| STANDARD.encode(vec![5_u8; len]);
    let bad = |number, problem| SealError::BadKey { number, problem };
    for (text, error) in [
        (String::new(), SealError::NoKey),
        (" ,\n# nothing\n".to_owned(), SealError::NoKey),
        ("hunter2!".to_owned(), bad(1, "is not base64")),
        (of_len(31), bad(1, "is too short")),
        (of_len(33), bad(1, "is too long")),
        (of_len(2_000), bad(1, "is too long")),
        (format!("{},{}", of_len(32), of_len(16)), bad(2, "is too short")),
        (
            (0..9).map(|seed| STANDARD.encode([seed; 32])).collect::<Vec<_>>().join(","),
            SealError::TooManyKeys,
        ),
    ] {
        let refused = Keyring::parse(&text).unwrap_err();
        assert_eq!(refused, error, "{text:?}");
        assert!(!refused.to_string().contains("hunter2"));
    }
}

#[test]
fn nothing_prints_a_key() {
    let key = MasterKey::from_bytes([0xab; KEY_LEN]);
    let shown = format!("{key:?} {:?} {}", Keyring::new(vec![key.clone()]).unwrap(), key.id());
    assert!(!shown.contains("abab") && !shown.contains("171"), "{shown}");
    // The id is a hash: not the key's own first bytes.
    assert_ne!(key.id().as_bytes(), &[0xab; 8]);
    assert_eq!(key.id().to_hex().len(), 16);
}
