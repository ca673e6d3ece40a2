// What a close code asks of pusher-js, from a server that closes as the story wants: so that whoever ends a
// connection knows what follows.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { WebSocketServer } from 'ws';
import { client, connected, is, subscribed } from './support/clients.mjs';
import { Inbox, inbox, next, story } from './support/wait.mjs';

const AWAY = [4001, 4003, 4004, 4009, 4099, 4300, 4301, 4999];
/** 1006 is what an end without a Close looks like. */
const AFTER_A_SECOND = [1000, 1001, 1002, 1003, 1006, 1009, 1011, 3000, 4100, 4150, 4199];
const AT_ONCE = [4200, 4201, 4299];
/** A second, but for what clocks may differ by. */
const NOT_BEFORE_MS = 900;
/** How often clients may be kept from running for a whole second. */
const TRIES = 5;

const event = (name, data, more) => JSON.stringify({ event: name, data: JSON.stringify(data), ...more });
const welcome = (n) => event('pusher:connection_established', { socket_id: `1.${n}`, activity_timeout: 120 });
const error = (code) => JSON.stringify({ event: 'pusher:error', data: { code, message: 'as told' } });

/**
 * A server that takes everybody in, or does `instead`. Whoever comes is put into `visits`, by the key it
 * comes with.
 */
async function obliging(t, instead) {
  const sockets = new Map();
  const visits = new Inbox();
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  let count = 0;
  server.on('connection', (socket, { url }) => {
    const [, key] = /^\/app\/([^?]+)/.exec(url);
    count += 1;
    sockets.set(key, socket);
    socket.on('error', () => {});
    socket.on('message', (text) => obey(socket, JSON.parse(text)));
    if (instead) instead(socket, key);
    else socket.send(welcome(count));
    visits.put({ key, at: performance.now() });
  });
  await once(server, 'listening');
  t.after(() => {
    server.clients.forEach((socket) => socket.terminate());
    server.close();
  });
  const { port } = server.address();
  return {
    host: '127.0.0.1',
    port,
    http: `http://127.0.0.1:${port}`,
    visits,
    say: (key, text) => sockets.get(key).send(text),
    end: (key, code) => {
      if (code === 1006) sockets.get(key).terminate();
      else sockets.get(key).close(code, 'as told');
    },
  };
}

function obey(socket, { event: name, data }) {
  if (name !== 'pusher:subscribe') return;
  socket.send(event('pusher_internal:subscription_succeeded', {}, { channel: data.channel }));
}

/** A client that has come, by a key of its own. */
async function visitor(t, server, key) {
  const pusher = await connected(t, server, { key });
  assert.equal((await server.visits.next()).key, key);
  const events = ['error', 'connecting_in', 'connected', 'disconnected'];
  return Object.assign(inbox(pusher.connection, ...events), { pusher });
}

/** Of these events, what happened and the codes of errors: those of a Close are in an error within. */
const brief = (items) => items.map(([name, told]) => {
  return name === 'error' ? (told.error ?? told).data.code : name;
});

story('by 4001 to 4099, and by what is unknown, a client is refused and stays away', async (t) => {
  const server = await obliging(t);
  const clients = [];
  for (const code of AWAY) clients.push(await visitor(t, server, String(code)));
  const witness = await visitor(t, server, 'witness');
  for (const code of AWAY) server.end(String(code), code);
  for (const [n, code] of AWAY.entries()) {
    const what = await clients[n].until(([name]) => name === 'disconnected', `what follows ${code}`);
    // The error is told twice: as a reason for staying away, and as an end.
    assert.deepEqual(brief(what), [code, code, 'disconnected']);
  }
  // Whoever came back after a second as others do would be there before one that is sent away now, twice.
  for (let time = 0; time < 2; time += 1) {
    server.end('witness', 4100);
    assert.equal((await server.visits.next('the witness')).key, 'witness');
    await witness.until(([name]) => name === 'connected', 'the witness');
  }
  for (const { pusher } of clients) assert.equal(pusher.connection.state, 'disconnected');
  assert.deepEqual(clients.map((box) => box.rest()), AWAY.map(() => []));
});

story('by 4100 to 4199, and by the codes of RFC 6455, a client is back after a second', async (t) => {
  const server = await obliging(t);
  const clients = new Map();
  for (const code of AFTER_A_SECOND) clients.set(String(code), await visitor(t, server, String(code)));
  const ended = performance.now();
  for (const code of AFTER_A_SECOND) server.end(String(code), code);
  const back = await server.visits.some(AFTER_A_SECOND.length, 'who is to come back');
  assert.deepEqual(back.map(({ key }) => Number(key)).sort((a, b) => a - b), AFTER_A_SECOND);
  for (const { key, at } of back) {
    assert.ok(at - ended >= NOT_BEFORE_MS, `${key}: after ${at - ended} ms`);
    const box = clients.get(key);
    const what = brief(await box.until(([name]) => name === 'connected', `what follows ${key}`));
    assert.deepEqual(what.slice(-2), ['connecting_in', 'connected'], key);
  }
});

story('by 4200 to 4299 a client is back at once, before one that is to wait', async (t) => {
  const server = await obliging(t);
  let early = [];
  for (let n = 0; n < TRIES && early.length < AT_ONCE.length; n += 1) {
    const keys = AT_ONCE.map((code) => `${code}-${n}`);
    for (const key of [`wait-${n}`, ...keys]) await visitor(t, server, key);
    server.end(`wait-${n}`, 4100);
    AT_ONCE.forEach((code, at) => server.end(keys[at], code));
    const back = await server.visits.some(keys.length + 1, 'all of them');
    const order = back.map(({ key }) => key);
    early = order.slice(0, order.indexOf(`wait-${n}`)).map((key) => parseInt(key, 10));
  }
  assert.deepEqual(early.sort(), AT_ONCE);
});

story('who is back has a new socket id, and subscribes again', async (t) => {
  const server = await obliging(t);
  const { pusher } = await visitor(t, server, 'k');
  const channel = await subscribed(pusher, 'public');
  for (const code of [4200, 4100, 1006]) {
    const { socket_id: id } = pusher.connection;
    const again = next(channel, 'pusher:subscription_succeeded');
    server.end('k', code);
    await again;
    assert.notEqual(pusher.connection.socket_id, id);
  }
});

story('who is refused before it is taken in does as the code says, in a Close or in an error', async (t) => {
  const by = {
    close: (socket, key) => socket.close(Number(key), 'as told'),
    error: (socket, key) => socket.send(error(Number(key))),
  };
  for (const instead of Object.values(by)) {
    const server = await obliging(t, instead);
    for (const code of [4001, 4004, 4009, 4301]) {
      const pusher = client(t, server, { key: String(code) });
      const errors = inbox(pusher.connection, 'error');
      await is(pusher, 'disconnected');
      assert.deepEqual(brief(errors.rest()), [code]);
    }
  }
});

story('an error is not an end, whatever its code', async (t) => {
  const server = await obliging(t);
  const box = await visitor(t, server, 'k');
  const channel = await subscribed(box.pusher, 'public');
  const news = inbox(channel, 'news');
  for (const code of [4001, 4009, 4100, 4200, 4201, 4301]) {
    server.say('k', error(code));
    server.say('k', event('news', code, { channel: 'public' }));
    assert.deepEqual(await news.next(), ['news', code, {}]);
    assert.deepEqual(brief(box.rest()), [code]);
  }
  assert.equal(box.pusher.connection.state, 'connected');
  assert.deepEqual(server.visits.rest(), []);
});

story('a frame that is no JSON is told as an error, and is not an end', async (t) => {
  const server = await obliging(t);
  const box = await visitor(t, server, 'k');
  const news = inbox(await subscribed(box.pusher, 'public'), 'news');
  for (const text of ['no JSON', '{"event":', '']) {
    server.say('k', text);
    const [name, told] = await box.next('an error');
    assert.deepEqual([name, told.type, told.data], ['error', 'MessageParseError', text]);
  }
  server.say('k', event('news', 'x', { channel: 'public' }));
  assert.equal((await news.next())[1], 'x');
  assert.equal(box.pusher.connection.state, 'connected');
  assert.deepEqual(server.visits.rest(), []);
});
