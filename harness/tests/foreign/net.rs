//! A small server for tests: HTTP/1.1 and WebSocket on one port, a thread a connection.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::{Message, Role, WebSocket};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

/// An answer: the status, more headers, the body.
pub(crate) type Answer = (u16, Vec<String>, String);

/// The way to a client.
#[derive(Clone, Debug)]
pub(crate) struct Outlet(Arc<Mutex<TcpStream>>);

impl Outlet {
    /// Sends a text in one frame. A client that has gone is told nothing.
    pub(crate) fn send(&self, text: &str) {
        let mut frame = vec![0x81];
        match u16::try_from(text.len()).expect("short") {
            length @ 0..126 => frame.push(length as u8),
            length => {
                frame.push(126);
                frame.extend(length.to_be_bytes());
            }
        }
        frame.extend(text.as_bytes());
        let mut stream = self.0.lock().expect("nobody panicked");
        drop(stream.write_all(&frame));
    }
}

impl Outlet {
    /// Ends the connection, with a Close frame of this code or without a word.
    pub(crate) fn end(&self, code: Option<u16>) {
        let mut stream = self.0.lock().expect("nobody panicked");
        if let Some(code) = code {
            let [high, low] = code.to_be_bytes();
            drop(stream.write_all(&[0x88, 2, high, low]));
        }
        drop(stream.shutdown(std::net::Shutdown::Write));
    }
}

/// What a server does.
pub(crate) trait Serves: Send + Sync + 'static {
    /// Answers a request by HTTP.
    fn answer(&self, asked: &Asked) -> Answer;
    /// Whether an upgrade is let through; who that is.
    fn admits(&self, asked: &Asked) -> Result<String, Answer>;
    /// A connection was opened.
    fn opened(&self, who: &str, out: &Outlet);
    /// A text came.
    fn said(&self, who: &str, text: &str, out: &Outlet);
    /// A connection has ended.
    fn gone(&self, who: &str);
}

/// Serves until the test ends.
pub(crate) fn serve(server: Arc<impl Serves>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let server = Arc::clone(&server);
            thread::spawn(move || converse(&*server, stream));
        }
    });
    address
}

fn converse(server: &impl Serves, mut stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket of ours");
    let Some(asked) = read(&stream) else { return };
    if asked.header("upgrade") != "websocket" {
        let answer = server.answer(&asked);
        return respond(&mut stream, &answer);
    }
    let who = match server.admits(&asked) {
        Ok(who) => who,
        Err(answer) => return respond(&mut stream, &answer),
    };
    let accept = derive_accept_key(asked.header("sec-websocket-key").as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    if stream.write_all(head.as_bytes()).is_err() {
        return;
    }
    let out = Outlet(Arc::new(Mutex::new(stream.try_clone().expect("a handle"))));
    server.opened(&who, &out);
    let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => server.said(&who, text.as_str(), &out),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    server.gone(&who);
}

/// A request, head and body.
fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|text: &String| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).ok()? })
}

fn respond(stream: &mut TcpStream, (status, headers, body): &Answer) {
    let more: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let answer = format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\nConnection: close\r\n{more}\r\n{body}",
        body.len()
    );
    // Whoever asked may be gone.
    drop(stream.write_all(answer.as_bytes()));
}
