//! Clients over bare connections, so that they cost as little as can be.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::served::KEY;

/// A connection to a server, with what has come and was not read yet.
pub(super) struct Client {
    stream: TcpStream,
    come: Vec<u8>,
}

impl Client {
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address.trim_start_matches("http://")).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, come: Vec::new() })
    }

    /// Begins to follow a path; what comes is read by [`until`](Self::until).
    pub(super) async fn follow(&mut self, path: &str) -> Result<()> {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\naccept: text/event-stream\r\n\r\n"
        ))
        .await?;
        let head = self.until("\r\n\r\n").await?;
        ensure!(head.starts_with("HTTP/1.1 200"), "{path} cannot be followed: {head}");
        Ok(())
    }

    /// Sends JSON and returns the answer's.
    pub(super) async fn post(&mut self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await?;
        let head = self.until("\r\n\r\n").await?.to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let length: usize = length.context("an answer without a length")?.trim().parse()?;
        while self.come.len() < length {
            self.more().await?;
        }
        let answer: Vec<u8> = self.come.drain(..length).collect();
        let answer = String::from_utf8(answer)?;
        ensure!(head.starts_with("http/1.1 200"), "{path} is answered {head}{answer}");
        Ok(serde_json::from_str(&answer).unwrap_or(Value::String(answer)))
    }

    /// Returns what comes up to a text, and that.
    pub(super) async fn until(&mut self, end: &str) -> Result<String> {
        let mut looked = 0;
        loop {
            let found = self.come[looked..].windows(end.len()).position(|part| part == end.as_bytes());
            if let Some(at) = found {
                let text = self.come.drain(..looked + at + end.len()).collect();
                return Ok(String::from_utf8(text)?);
            }
            looked = self.come.len().saturating_sub(end.len());
            self.more().await?;
        }
    }

    async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }

    async fn more(&mut self) -> Result<()> {
        match self.stream.read_buf(&mut self.come).await? {
            0 => bail!("the server has closed the connection"),
            _ => Ok(()),
        }
    }
}

/// Makes a thread, and returns its id.
pub(super) async fn thread(client: &mut Client, user: &str) -> Result<String> {
    let made = client.post("/api/threads", &serde_json::json!({ "user": user })).await?;
    Ok(made["id"].as_str().context("a thread without an id")?.to_owned())
}
