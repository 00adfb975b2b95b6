//! A small client that shows an answer as it is on the wire.

use loomwork_testkit::soon;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A connection to the fake.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    /// The chunks of the body, as the server wrote them.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Whether the last chunk came, or the connection ended before.
    pub(crate) is_whole: bool,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        let host = url.strip_prefix("http://").unwrap().to_owned();
        let stream = soon(TcpStream::connect(&host)).await.unwrap();
        Self { stream: BufReader::new(stream), host }
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        self.stream.write_all(head.as_bytes()).await.unwrap();
        self.stream.write_all(body).await.unwrap();
    }

    pub(crate) async fn send_json(&mut self, path: &str, headers: &[(&str, &str)], body: &Value) {
        let headers = [&[("content-type", "application/json")], headers].concat();
        self.send("POST", path, &headers, body.to_string().as_bytes()).await;
    }

    /// Reads the head of an answer; absent if the connection ends first.
    pub(crate) async fn head(&mut self) -> Option<Answer> {
        let status = self.line().await?.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        Some(Answer { status, headers, chunks: Vec::new(), is_whole: false })
    }

    /// Reads one chunk of the body: empty if it is the last one, absent if the connection ends first.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = usize::from_str_radix(&self.line().await?, 16).unwrap();
        let mut chunk = vec![0; size + 2];
        soon(self.stream.read_exact(&mut chunk)).await.ok()?;
        chunk.truncate(size);
        Some(chunk)
    }

    pub(crate) async fn answer(&mut self) -> Option<Answer> {
        let mut answer = self.head().await?;
        while let Some(chunk) = self.chunk().await {
            if chunk.is_empty() {
                answer.is_whole = true;
                break;
            }
            answer.chunks.push(chunk);
        }
        Some(answer)
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = soon(self.stream.read_line(&mut line)).await.ok()?;
        (read > 0).then(|| line.trim_end_matches("\r\n").to_owned())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.chunks.concat()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.bytes()).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes()).unwrap()
    }

    /// The events of a stream: each its name, empty if it has none, and its data.
    pub(crate) fn events(&self) -> Vec<(String, String)> {
        let text = self.text();
        let event = |event: &str| {
            let of = |field: &str| {
                let mut lines = event.lines();
                lines.find_map(|line| line.strip_prefix(field)).unwrap_or_default().to_owned()
            };
            (of("event: "), of("data: "))
        };
        assert!(text.ends_with("\n\n"), "{text}");
        text.split_terminator("\n\n").map(event).collect()
    }

    /// The JSON of the events that have some.
    pub(crate) fn datas(&self) -> Vec<Value> {
        self.events().iter().filter_map(|(_, data)| serde_json::from_str(data).ok()).collect()
    }
}

/// Asks on a connection of its own.
pub(crate) async fn post(url: &str, path: &str, body: &Value) -> Answer {
    let mut client = Client::connect(url).await;
    client.send_json(path, &[], body).await;
    client.answer().await.expect("it answers")
}

pub(crate) async fn get(url: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::connect(url).await;
    client.send("GET", path, headers, b"").await;
    client.answer().await.expect("it answers")
}
