// What the servers on Node have in common: command line, handshake, bounded queues, ticks, the end.
// It knows RFC 6455 and no dialect.
import { isUtf8 } from 'node:buffer';
import { STATUS_CODES, createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { WebSocketServer } from 'ws';

const LINGER_MS = 1000; // how long a connection that is told to close may take
const STALL_MS = 50; // how late a tick may be without moving those after it
const MESSAGE_BYTES = 65536;

/** One connection. What waits for it is bounded; its end is told to the session once. */
class Connection {
  #ws;
  #raw;
  #waiting = [];
  #waitingBytes = 0;
  #queueBytes;
  #beat;
  #cut = false;
  ended = false;
  session;

  constructor(ws, raw, queueBytes) {
    this.#ws = ws;
    this.#raw = raw;
    this.#queueBytes = queueBytes;
    raw.on('drain', () => this.#pump());
    ws.on('message', (data, binary) => this.#message(data, binary));
    ws.on('ping', (data) => this.#answer(data));
    ws.on('pong', () => this.session.pong?.());
    ws.on('error', () => this.#gone()); // ws has sent the Close with the code itself
    ws.on('close', () => this.#gone());
  }

  /** Sends a value as JSON; texts that many get are encoded once, by `encoded`. */
  send(value) {
    this.encoded(JSON.stringify(value));
  }

  encoded(text) {
    if (this.ended || this.#cut) return;
    if (this.#waiting.length === 0 && !this.#raw.writableNeedDrain) {
      this.#ws.send(text);
      return;
    }
    this.#waiting.push(text);
    this.#waitingBytes += Buffer.byteLength(text);
    if (this.#waitingBytes > this.#queueBytes && this.#waiting.length > 1) this.#tooSlow();
  }

  /** Closes with a Close frame. What still waits is not sent. */
  end(code, reason) {
    if (this.ended) return;
    this.#gone();
    this.#ws.close(code, reason);
  }

  /** Calls `tick` at every interval from now on; `false` ends it with 4000, else a ping is sent. 0 is never. */
  beat(interval, tick) {
    if (interval === 0) return;
    const next = (due) => {
      // Judged after input was read, so that a process that was late finds the pongs that had come.
      const judge = () => {
        if (this.ended) return;
        if (!tick(due)) return this.end(4000, 'heartbeat timeout');
        this.#ws.ping();
        // When this process stood still, there has to be time to answer the ping that was late.
        const now = performance.now();
        next((now - due < STALL_MS ? due : now) + interval);
      };
      this.#beat = setTimeout(() => setImmediate(judge), Math.max(due - performance.now(), 0));
    };
    next(performance.now() + interval);
  }

  /** Ends it after what is being broadcast has gone to all, so that all hear the same order. */
  #tooSlow() {
    this.#cut = true;
    this.#waiting = [];
    queueMicrotask(() => this.end(4008, 'too slow'));
  }

  #message(data, binary) {
    if (!this.ended) this.session.message(binary ? null : data.toString());
  }

  #answer(data) {
    // Who pings without reading would otherwise fill the memory with pongs.
    if (this.#raw.writableLength > this.#queueBytes) this.#tooSlow();
    else if (!this.ended) this.#ws.pong(data);
  }

  #pump() {
    while (this.#waiting.length > 0 && !this.#raw.writableNeedDrain) {
      const text = this.#waiting.shift();
      this.#waitingBytes -= Buffer.byteLength(text);
      this.#ws.send(text);
    }
  }

  #gone() {
    if (this.ended) return;
    this.ended = true;
    this.#waiting = [];
    clearTimeout(this.#beat);
    this.session?.left();
  }
}

/** Reads the command line: the common options and those of one server. */
export function options(heartbeat, own = {}) {
  const common = {
    port: { type: 'string', default: '0' },
    heartbeat: { type: 'string', default: heartbeat },
    'max-connections': { type: 'string', default: '20000' },
    'queue-bytes': { type: 'string', default: '1048576' },
  };
  try {
    const { values } = parseArgs({ options: { ...common, ...own } });
    const number = (name) => {
      if (!/^\d+$/.test(values[name])) throw new Error(`--${name} takes a number`);
      return Number(values[name]);
    };
    const [interval, timeout] = values.heartbeat.split('/').map(milliseconds);
    const limits = { port: number('port'), maxConnections: number('max-connections') };
    return { ...values, ...limits, queueBytes: number('queue-bytes'), interval, timeout };
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}

function milliseconds(text) {
  const [, number, unit] = /^(\d+)(ms|s)$/.exec(text) ?? [];
  if (number === undefined) throw new Error('--heartbeat takes INTERVAL/TIMEOUT, such as 250ms/700ms');
  return Number(number) * (unit === 's' ? 1000 : 1);
}

/** An HTTP answer with a JSON body; `headers` are further ones. */
export function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
}

/** The body of a request as text; `null` if it is longer than a message may be, `undefined` if it is not UTF-8. */
export async function bodyOf(request) {
  const parts = [];
  let length = 0;
  for await (const part of request) {
    length += part.length;
    if (length <= MESSAGE_BYTES) parts.push(part);
  }
  if (length > MESSAGE_BYTES) return null;
  const body = Buffer.concat(parts);
  return isUtf8(body) ? body.toString() : undefined;
}

/**
 * Serves until SIGTERM, SIGINT or the end of standard input.
 * `admit(url, request)` says to whom an upgrade leads, or `{ status }` why not;
 * `open(connection, admitted)` returns its session `{ message(text | null), left(), pong?() }`;
 * `http(request, response, url)` answers other requests and says whether it has.
 */
export function serve({ admit, open, http = () => false }, { port, maxConnections, queueBytes }) {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: MESSAGE_BYTES,
    autoPong: false,
    closeTimeout: LINGER_MS,
    handleProtocols: () => false,
  });
  const connections = new Set();

  const server = createServer((request, response) => {
    const url = urlOf(request);
    if (http(request, response, url)) return;
    const status = admit(url, request).status ?? 426;
    answer(response, status, { error: 'not found here, or only by an upgrade' }, upgradeHeaders(status));
  });

  server.on('upgrade', (request, raw, head) => {
    raw.on('error', () => raw.destroy());
    const admitted = admit(urlOf(request), request);
    const status = admitted.status ?? refusal(request) ?? (connections.size < maxConnections ? null : 503);
    if (status !== null) return refuse(raw, status);
    sockets.handleUpgrade(request, raw, head, (ws) => {
      const connection = new Connection(ws, raw, queueBytes);
      connections.add(connection);
      ws.on('close', () => connections.delete(connection));
      connection.session = open(connection, admitted);
    });
  });

  const stop = () => {
    server.close();
    for (const connection of connections) connection.end(1001, 'the server stops');
    const finished = setInterval(() => connections.size === 0 && process.exit(0), 10);
    setTimeout(() => process.exit(0), 2 * LINGER_MS).unref();
    return finished;
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);
  process.stdin.once('end', stop).once('error', stop).resume();

  server.listen({ port, host: '127.0.0.1', backlog: 1024 }, () => {
    console.log(`listening on ws://127.0.0.1:${server.address().port}`);
  });
}

function urlOf(request) {
  return new URL(request.url.startsWith('/') ? request.url : '/', 'http://127.0.0.1');
}

/** Why RFC 6455 does not let this upgrade through, before the library judges the rest. */
function refusal({ headers, httpVersion }) {
  if (httpVersion !== '1.1' || headers.host === undefined) return 400;
  return headers['sec-websocket-version'] === '13' ? null : 426;
}

function upgradeHeaders(status) {
  return status === 426 ? { Upgrade: 'websocket', 'Sec-WebSocket-Version': '13' } : {};
}

function refuse(raw, status) {
  const headers = Object.entries({ ...upgradeHeaders(status), Connection: 'close', 'Content-Length': '0' });
  raw.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
}
