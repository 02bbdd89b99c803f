//! The client against servers that answer in every way a server may, and in some it may not.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

/// A server for one connection: to each request it writes the next answer, a byte at a time, then hangs up.
async fn scripted(answers: Vec<&'static [u8]>) -> (Target, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        for answer in answers {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if stream.read_buf(&mut request).await.unwrap() == 0 {
                    return;
                }
            }
            for byte in answer {
                stream.write_all(&[*byte]).await.unwrap();
            }
        }
    });
    (target, server)
}

async fn exchange(connection: &mut Connection) -> Result<Response, HttpError> {
    connection.exchange(b"GET / HTTP/1.1\r\n\r\n", WITHIN).await
}

#[tokio::test]
async fn answers_are_read_whatever_their_framing() {
    let (target, _server) = scripted(vec![
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: t\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    ])
    .await;
    let mut connection = Connection::open(&target).await.unwrap();
    for (status, body) in [(200, "hello"), (200, "hello"), (204, ""), (200, "until the end")] {
        assert!(connection.reusable);
        let response = exchange(&mut connection).await.unwrap();
        assert_eq!((response.status, &response.body[..]), (status, body.as_bytes()));
    }
    assert!(!connection.is_usable());
}

#[tokio::test]
async fn a_broken_or_silent_answer_is_an_error_after_sending() {
    for cut in
        [&b"HTTP/1.1 200 OK\r\nContent-Le"[..], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b""]
    {
        let (target, _server) = scripted(vec![cut]).await;
        let mut connection = Connection::open(&target).await.unwrap();
        let error = exchange(&mut connection).await.unwrap_err();
        assert!(matches!(error, HttpError::Broken(_)) && !error.nothing_was_sent());
        assert!(!connection.is_usable());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let mut connection = Connection::open(&target).await.unwrap();
    let answer = connection.exchange(b"GET / HTTP/1.1\r\n\r\n", Duration::from_millis(5)).await;
    assert!(matches!(answer, Err(HttpError::TimedOut(_))));
}

#[tokio::test]
async fn chunks_longer_than_they_say_are_refused() {
    let (target, _server) =
        scripted(vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"]).await;
    let mut connection = Connection::open(&target).await.unwrap();
    assert!(matches!(exchange(&mut connection).await, Err(HttpError::Malformed(_))));
}

#[tokio::test]
async fn a_refused_connection_says_that_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    assert!(Connection::open(&target).await.unwrap_err().nothing_was_sent());
}

#[tokio::test]
async fn a_connection_the_server_hung_up_is_noticed_before_the_next_request() {
    let (target, server) = scripted(vec![b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]).await;
    let mut connection = Connection::open(&target).await.unwrap();
    exchange(&mut connection).await.unwrap();
    server.await.unwrap();
    connection.stream.readable().await.unwrap();
    assert!(!connection.is_usable());
}
