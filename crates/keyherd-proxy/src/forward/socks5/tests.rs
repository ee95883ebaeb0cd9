//! Conversations, byte by byte.

use tokio::io::duplex;

use super::*;

/// What the server says to these bytes, and what it made of them.
async fn told(said: &[u8]) -> (Vec<u8>, Result<(String, String, String), String>) {
    let (mut agent, mut server) = duplex(1_024);
    agent.write_all(said).await.unwrap();
    agent.shutdown().await.unwrap();
    let made = async {
        let caller = greet(&mut server).await?;
        tell_caller(&mut server, true).await?;
        let asked = asked(&mut server).await?;
        answer(&mut server, asked.as_ref().map_or_else(|(answer, _)| *answer, |_| Answer::Granted)).await?;
        let dialled = asked.map_err(|(_, detail)| SocksError::Refused(detail))?;
        Ok::<_, SocksError>((caller.name, caller.key.expose().to_owned(), dialled.to_string()))
    }
    .await;
    drop(server);
    let mut heard = Vec::new();
    agent.read_to_end(&mut heard).await.unwrap();
    (heard, made.map_err(|error| error.to_string()))
}

/// Greeting, user `u`, password `pw`, then this request.
fn said(request: &[u8]) -> Vec<u8> {
    [&[5, 2, 0, 2, 1, 1, b'u', 2, b'p', b'w'], request].concat()
}

const GREETED: [u8; 4] = [5, 2, 1, 0];

#[tokio::test]
async fn whom_they_dial() {
    let name = [&[5, 1, 0, 3, 9], b"A.Example".as_slice(), &[1, 187]].concat();
    let v6 = [&[5, 1, 0, 4], [0; 15].as_slice(), &[1, 0, 80]].concat();
    let mapped = [&[5, 1, 0, 4], [0; 10].as_slice(), &[255, 255, 10, 0, 0, 1, 0, 80]].concat();
    let table: [(&[u8], &str); 4] = [
        (&name, "a.example:443"),
        (&[5, 1, 0, 1, 127, 0, 0, 1, 0, 80], "127.0.0.1:80"),
        (&v6, "[::1]:80"),
        (&mapped, "10.0.0.1:80"),
    ];
    for (request, wanted) in table {
        let (heard, made) = told(&said(request)).await;
        assert_eq!(made, Ok(("u".into(), "pw".into(), wanted.into())));
        assert_eq!(heard, [&GREETED[..], &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat());
    }
}

#[tokio::test]
async fn what_is_refused() {
    let refusals: [(Vec<u8>, Vec<u8>, &str); 6] = [
        (vec![5, 1, 0], vec![5, 255], "without a user name"),
        (vec![5, 0], vec![5, 255], "without a user name"),
        (
            said(&[5, 2, 0, 1, 1, 1, 1, 1, 0, 80]),
            [&GREETED[..], &[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]].concat(),
            "command",
        ),
        (said(&[5, 1, 0, 9, 0, 80]), [&GREETED[..], &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]].concat(), "address"),
        (
            said(&[5, 1, 0, 3, 1, b'/', 0, 80]),
            [&GREETED[..], &[5, 8, 0, 1, 0, 0, 0, 0, 0, 0]].concat(),
            "address",
        ),
        (vec![5, 1, 2, 1, 1, 0xff, 1, b'x'], vec![5, 2, 1, 1], "no text"),
    ];
    for (said, answered, wanted) in refusals {
        let (heard, made) = told(&said).await;
        assert!(made.as_ref().is_err_and(|error| error.contains(wanted)), "{said:?}: {made:?}");
        assert_eq!(heard, answered, "{said:?}");
    }
    // Broken off anywhere, it ends.
    let whole = said(&[5, 1, 0, 1, 127, 0, 0, 1, 0, 80]);
    for end in 1..whole.len() {
        assert!(told(&whole[..end]).await.1.is_err(), "{end}");
    }
}
