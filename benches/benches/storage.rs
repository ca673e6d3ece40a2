//! What a change of a room's storage costs, in memory and with `--data`: one after the other, each
//! answered before the next is sent, and many at once, as they come from many clients.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use reference_server::{Config, Data, Shutdown, serve};

/// How many changes are sent at once.
const SHAPES: [u64; 2] = [1, 64];
const PATIENCE: Duration = Duration::from_secs(20);

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("store");
    for burst in SHAPES {
        group.throughput(Throughput::Elements(burst));
        let dir = tempfile::tempdir().expect("a directory");
        let data = Data::open(dir.path()).expect("a store");
        for (name, data) in [("in memory", None), ("on disk", Some(data))] {
            let mut client = Client::of(Config { data, ..Config::default() });
            group.bench_function(BenchmarkId::new(name, format!("{burst} at once")), |bencher| {
                bencher.iter(|| client.store(burst));
            });
        }
    }
    group.finish();
    criterion.final_summary();
}

/// The only member of a room, on a server in this process.
struct Client {
    stream: BufReader<TcpStream>,
    requests: Vec<u8>,
    shutdown: Shutdown,
}

impl Client {
    fn of(mut config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = Shutdown::new();
        config.limits.requests_per_s = 0;
        async_std::task::spawn(serve(config, listener, shutdown.clone()));
        let stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        let mut client = Self { stream: BufReader::new(stream), requests: Vec::new(), shutdown };
        client.write(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        );
        client.write(&masked(r#"{"type":"join","room":"r"}"#));
        client.await_text(br#""storage""#, 1);
        client
    }

    /// From the write of the requests to the last event.
    fn store(&mut self, count: u64) {
        if self.requests.is_empty() {
            let value = "v".repeat(100);
            for key in 0..count {
                let op = format!(r#"{{"put":{{"key":"key {key}","value":"{value}"}}}}"#);
                let request = format!(r#"{{"type":"store","room":"r","ops":[{op}]}}"#);
                self.requests.extend(masked(&request));
            }
        }
        let requests = std::mem::take(&mut self.requests);
        self.write(&requests);
        self.requests = requests;
        self.await_text(br#""stored""#, count);
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the server reads");
    }

    /// Reads on until this text has come so often. Frames end with a brace, and so does what comes
    /// in one read at the latest.
    fn await_text(&mut self, text: &[u8], count: u64) {
        let mut found = 0;
        let mut piece = Vec::new();
        while found < count {
            piece.clear();
            let read = self.stream.read_until(b'}', &mut piece).expect("the server answers");
            assert!(read > 0, "the server closed");
            found += u64::from(piece.windows(text.len()).any(|window| window == text));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shutdown.now();
    }
}

/// A text frame as clients send it, with a mask of zeros.
fn masked(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("a short text");
    let mut frame = vec![0x81];
    if length < 126 {
        frame.push(0x80 | length.to_be_bytes()[1]);
    } else {
        frame.push(0x80 | 126);
        frame.extend(length.to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
