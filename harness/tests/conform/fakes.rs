//! Small servers that are not ours. They speak one JSON object a frame:
//! `{"echo": X}` is answered with `{"echoed": X}`, `{"tell": X}` comes to all others as `{"told": X}`,
//! and anything else is answered with `{"error": "unknown"}`.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use async_tungstenite::tungstenite::{Message, WebSocket, accept};
use serde_json::{Value, json};

/// What a server does otherwise than it should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Habit {
    /// Nothing.
    Right,
    /// It echoes something else.
    Liar,
    /// It takes `typing` instead of refusing it.
    Eager,
    /// `{"die": true}` ends it for good.
    Mortal,
    /// `{"die": true}` ends it, and it comes back a moment later.
    Phoenix,
    /// It is a web server, and no more than that.
    Web,
}

/// How long a phoenix is away: somebody is to notice it.
const AWAY: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(5);

/// A server in this process. It ends with the value.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    over: Arc<AtomicBool>,
}

/// What the threads of a server share.
struct Shared {
    habit: Habit,
    over: Arc<AtomicBool>,
    /// Somebody has said `die`.
    dying: AtomicBool,
    people: Mutex<Vec<(u64, TcpStream, Vec<Value>)>>,
}

impl Fake {
    pub(crate) fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let over = Arc::new(AtomicBool::new(false));
        let shared = Arc::new(Shared {
            habit,
            over: Arc::clone(&over),
            dying: AtomicBool::new(false),
            people: Mutex::default(),
        });
        thread::spawn(move || shared.serve(listener));
        Self { address, over }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    fn serve(self: Arc<Self>, listener: TcpListener) {
        let address = listener.local_addr().expect("an address");
        let mut listener = Some(listener);
        for id in 0.. {
            let stream = loop {
                if self.over.load(Ordering::SeqCst) {
                    return;
                }
                if self.dying.load(Ordering::SeqCst) {
                    listener = None;
                    for (_, stream, _) in self.people.lock().expect("whole").drain(..) {
                        // It may have ended by itself.
                        drop(stream.shutdown(Shutdown::Both));
                    }
                    if self.habit == Habit::Mortal {
                        return;
                    }
                    thread::sleep(AWAY);
                    self.dying.store(false, Ordering::SeqCst);
                }
                let open = listener.get_or_insert_with(|| again(address));
                open.set_nonblocking(true).expect("a socket of ours");
                match open.accept() {
                    Ok((stream, _)) => break stream,
                    Err(_) => thread::sleep(TICK),
                }
            };
            stream.set_nonblocking(false).expect("a socket of ours");
            let shared = Arc::clone(&self);
            thread::spawn(move || shared.meet(id, stream));
        }
    }

    fn meet(&self, id: u64, mut stream: TcpStream) {
        if self.habit == Habit::Web {
            let page = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
            let mut request = [0; 4096];
            drop(stream.read(&mut request).and_then(|_| stream.write_all(page.as_bytes())));
            return;
        }
        stream.set_nodelay(true).expect("a socket of ours");
        let other = stream.try_clone().expect("a socket of ours");
        // Before the upgrade is answered: who is connected hears what others tell.
        self.people.lock().expect("whole").push((id, other, Vec::new()));
        if let Ok(socket) = accept(stream) {
            self.talk(id, socket);
        }
        self.people.lock().expect("whole").retain(|(known, ..)| *known != id);
    }

    fn talk(&self, id: u64, mut socket: WebSocket<TcpStream>) {
        socket.get_ref().set_read_timeout(Some(TICK)).expect("a socket of ours");
        loop {
            let waiting = {
                let mut people = self.people.lock().expect("whole");
                let own = people.iter_mut().find(|(known, ..)| *known == id);
                let Some((_, _, waiting)) = own else { return };
                std::mem::take(waiting)
            };
            if waiting.into_iter().any(|value| !says(&mut socket, &value)) {
                break;
            }
            match socket.read() {
                Ok(Message::Text(text)) => {
                    let asked = serde_json::from_str(&text).unwrap_or_default();
                    if self.answer(id, &asked).is_some_and(|answer| !says(&mut socket, &answer)) {
                        break;
                    }
                }
                Ok(_) => {}
                Err(async_tungstenite::tungstenite::Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
    }

    fn answer(&self, id: u64, asked: &Value) -> Option<Value> {
        if let Some(word) = asked.get("echo") {
            let word = if self.habit == Habit::Liar { &json!("nonsense") } else { word };
            return Some(json!({ "echoed": word }));
        }
        if let Some(word) = asked.get("tell") {
            let mut people = self.people.lock().expect("whole");
            for (_, _, waiting) in people.iter_mut().filter(|(known, ..)| *known != id) {
                waiting.push(json!({ "told": word }));
            }
            return None;
        }
        let mortal = matches!(self.habit, Habit::Mortal | Habit::Phoenix);
        if mortal && asked.get("die").is_some() {
            self.dying.store(true, Ordering::SeqCst);
            return None;
        }
        if self.habit == Habit::Eager && asked.get("typing").is_some() {
            return Some(json!({ "typing": "you" }));
        }
        Some(json!({ "error": "unknown" }))
    }
}

/// The same port once more: nobody else can have it while connections of it linger.
fn again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(_) => thread::sleep(TICK),
        }
    }
}

fn says(socket: &mut WebSocket<TcpStream>, value: &Value) -> bool {
    socket.send(Message::text(value.to_string())).is_ok()
}
