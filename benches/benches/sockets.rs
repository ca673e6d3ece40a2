//! One fan-out through real loopback sockets, beside the least that could be done: a loop of
//! write(2) of the same bytes into the same number of sockets. The ratio of the two is what the
//! server costs over the kernel.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use reference_server::{Config, Shutdown, serve};

/// How many listen, and how many messages are said at once. One alone shows what a delivery costs; of
/// several at once the server writes all that has gathered for a listener together.
const SHAPES: [(usize, usize); 3] = [(100, 1), (1000, 1), (1000, 20)];
const PATIENCE: Duration = Duration::from_secs(20);
const CHAT: &str = r#"{"type":"chat","room":"hall","text":"a message of the usual length, neither long nor short, as people write them"}"#;

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut best = Vec::new();
    let mut group = criterion.benchmark_group("loopback fan-out");
    for (listeners, burst) in SHAPES {
        let shape = format!("{listeners} listeners, {burst} at once");
        group.throughput(Throughput::Elements((listeners * burst) as u64));
        let mut served = Served::to(listeners);
        let mut plain = Plain::to(listeners, &served.frame());
        let (mut server, mut write) = (Duration::MAX, Duration::MAX);
        group.bench_function(BenchmarkId::new("server", &shape), |bencher| {
            bencher.iter_custom(|times| repeat(times, &mut server, || served.burst(burst)));
        });
        group.bench_function(BenchmarkId::new("write(2)", &shape), |bencher| {
            bencher.iter_custom(|times| repeat(times, &mut write, || plain.burst(burst)));
        });
        best.push((shape, listeners * burst, server, write));
    }
    group.finish();
    criterion.final_summary();
    // What was filtered out on the command line was not measured.
    best.retain(|(.., server, write)| (*server).max(*write) < Duration::MAX);
    for (shape, deliveries, server, write) in best {
        let ratio = server.as_secs_f64() / write.as_secs_f64();
        let deliveries = u32::try_from(deliveries).unwrap_or(u32::MAX);
        let (server, write) = (server / deliveries, write / deliveries);
        tell(&format!(
            "{shape}: server {server:?}, write(2) {write:?} a delivery; ratio {ratio:.2}"
        ));
    }
}

/// Says a result that criterion has no place for.
#[expect(clippy::print_stdout, reason = "the output of a benchmark")]
fn tell(line: &str) {
    println!("{line}");
}

/// The time of so many bursts; the best of all is remembered: noise only ever adds.
fn repeat(times: u64, best: &mut Duration, mut burst: impl FnMut() -> Duration) -> Duration {
    let spent = (0..times).map(|_| burst());
    spent.inspect(|&one| *best = one.min(*best)).sum()
}

/// A room on a server in this process.
struct Served {
    speaker: Reader,
    listeners: Vec<Reader>,
    shutdown: Shutdown,
}

impl Served {
    fn to(listeners: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shutdown = Shutdown::new();
        let mut config = Config::default();
        config.limits.requests_per_s = 0;
        async_std::task::spawn(serve(config, listener, shutdown.clone()));
        let listeners = (0..listeners).map(|_| member(address)).collect();
        Self { speaker: member(address), listeners, shutdown }
    }

    /// From the write of the requests to the last listener's last byte.
    fn burst(&mut self, messages: usize) -> Duration {
        let begun = Instant::now();
        self.speaker.stream.write_all(&masked(CHAT).repeat(messages)).expect("the server reads");
        for reader in self.listeners.iter_mut().chain([&mut self.speaker]) {
            reader.skip(messages);
        }
        begun.elapsed()
    }

    /// An event as the server frames it.
    fn frame(&mut self) -> Vec<u8> {
        self.speaker.stream.write_all(&masked(CHAT)).expect("the server reads");
        let readers = self.listeners.iter_mut().chain([&mut self.speaker]);
        readers.map(|reader| reader.skip(1)).last().expect("the speaker's own")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.now();
    }
}

/// The same bytes through the same number of sockets, without anybody who thinks about them.
struct Plain {
    writers: Vec<TcpStream>,
    readers: Vec<Reader>,
    frame: Vec<u8>,
}

impl Plain {
    fn to(listeners: usize, frame: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        // As many as in the room: the speaker hears itself.
        let pairs = (0..=listeners).map(|_| {
            let reader = Reader::new(TcpStream::connect(address).expect("a connection"));
            let (writer, _) = listener.accept().expect("a connection");
            writer.set_nodelay(true).expect("a TCP stream");
            (writer, reader)
        });
        let (writers, readers) = pairs.unzip();
        Self { writers, readers, frame: frame.to_vec() }
    }

    /// One write a message and listener. Another thread reads meanwhile, as in the server's case.
    fn burst(&mut self, messages: usize) -> Duration {
        let begun = Instant::now();
        let Self { writers, readers, frame } = self;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..messages {
                    for writer in &mut *writers {
                        writer.write_all(frame).expect("somebody reads");
                    }
                }
            });
            for reader in readers {
                reader.skip(messages);
            }
        });
        begun.elapsed()
    }
}

/// The reading end of a connection.
struct Reader {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Reader {
    fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("a TCP stream");
        Self { stream, bytes: Vec::new() }
    }

    /// Reads so many frames; the last one is returned.
    fn skip(&mut self, count: usize) -> Vec<u8> {
        let mut left = count;
        let mut last = Vec::new();
        while left > 0 {
            match frame_length(&self.bytes) {
                Some(length) => {
                    last = self.bytes.drain(..length).collect();
                    left -= 1;
                }
                None => self.more(),
            }
        }
        last
    }

    fn more(&mut self) {
        let mut buffer = [0; 16 << 10];
        let read = self.stream.read(&mut buffer).expect("bytes in time");
        assert!(read > 0, "ended early");
        self.bytes.extend(buffer.iter().take(read));
    }
}

/// The length of the frame that begins here, if it is here whole.
fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = match *bytes.get(1)? {
        126 => 4 + usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        short => 2 + usize::from(short),
    };
    (bytes.len() >= length).then_some(length)
}

/// A client that has joined.
fn member(address: SocketAddr) -> Reader {
    let mut reader = Reader::new(TcpStream::connect(address).expect("the server listens"));
    let request = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    reader.stream.write_all(request.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        reader.stream.read_exact(&mut byte).expect("a head");
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let join = r#"{"type":"join","room":"hall","membership":"none"}"#;
    reader.stream.write_all(&masked(join)).expect("sent");
    // `welcome` and `joined`.
    reader.skip(2);
    reader
}

/// A text as a client sends it; the key is of zeros.
fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(length @ 0..=125), _) => frame.push(0x80 | length),
        (_, Ok(length)) => {
            frame.push(0xfe);
            frame.extend(length.to_be_bytes());
        }
        _ => unreachable!("no long text is sent here"),
    }
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}
