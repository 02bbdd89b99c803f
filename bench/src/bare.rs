//! What Floe's doors are compared to: servers that do nothing with what they get.

use std::{
    fs::File,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
};

use axum::{Router, body::Bytes, http::StatusCode, routing::post};

/// An axum server that reads the body and answers 202 with a fixed small JSON. Prints its address.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let app = Router::new().route("/", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        use axum::serve::ListenerExt;
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        axum::serve(listener, app).await?;
        Ok(())
    })
}

async fn answer(body: Bytes) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    assert!(!body.is_empty());
    (
        StatusCode::ACCEPTED,
        [("content-type", "application/json")],
        r#"{"topic":"bench","partition":0,"offset":123456,"timestamp":"2026-01-31T10:00:00.000Z"}"#,
    )
}

/// Answers each connection with the whole file, 64 KiB at a time, and closes. Prints its address.
pub(crate) fn pipe(path: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut request = [0; 4096];
        let _ = stream.read(&mut request)?;
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n")?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            stream.write_all(&buffer[..count])?;
        }
    }
    Ok(())
}
