// What pusher-js does with each close code, after a server that closes as it is told: so that whoever
// chooses a code for an end knows what it asks of a client.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { WebSocketServer } from 'ws';
import { client, code, comesBack, connected, is } from './support/clients.mjs';
import { inbox, next, soon, story } from './support/wait.mjs';

const ESTABLISHED = JSON.stringify({
  event: 'pusher:connection_established',
  data: JSON.stringify({ socket_id: '1.1', activity_timeout: 120 }),
});
const error = (number) => JSON.stringify({ event: 'pusher:error', data: { code: number, message: 'x' } });

/** Codes by what they lead to; 1006 is what an end without a Close looks like. */
const DUTIES = {
  never: [4001, 4004, 4009, 4099, 4300, 4301, 4999],
  'after a second': [1000, 1001, 1002, 1003, 1006, 1009, 1011, 1012, 3000, 4100, 4199],
  'at once': [4200, 4201, 4299],
};

/** A server that says these frames to whoever comes, and then closes with the code, if there is one. */
async function saying(t, frames, number) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  t.after(() => {
    server.clients.forEach((socket) => socket.terminate());
    server.close();
  });
  let accepted = 0;
  server.on('connection', (socket) => {
    accepted += 1;
    frames.forEach((frame) => socket.send(frame));
    if (number) socket.close(number);
  });
  await once(server, 'listening');
  const { port } = server.address();
  const each = (act) => server.clients.forEach(act);
  return {
    host: '127.0.0.1',
    port,
    http: `http://127.0.0.1:${port}`,
    accepted: () => accepted,
    say: (text) => each((socket) => socket.send(text)),
    end: (how) => each((socket) => (how === 1006 ? socket.terminate() : socket.close(how))),
  };
}

story('whether a client comes back, and when, is said by the code', async (t) => {
  const ends = Object.entries(DUTIES).flatMap(([duty, numbers]) => numbers.map((it) => [it, duty]));
  const seen = await Promise.all(ends.map(async ([number]) => {
    const server = await saying(t, [ESTABLISHED]);
    const pusher = await connected(t, server);
    const duty = comesBack(pusher);
    server.end(number);
    const did = await duty;
    if (did !== 'never') await is(pusher, 'connected');
    return { number, did, server, pusher };
  }));
  assert.deepEqual(seen.map(({ number, did }) => [number, did]), ends);
  // The others have waited their second by now.
  for (const { did, server, pusher } of seen.filter((it) => it.did === 'never')) {
    assert.deepEqual([did, pusher.connection.state, server.accepted()], ['never', 'disconnected', 1]);
  }
});

story('who is refused before the start stays away, by a code as by an error', async (t) => {
  for (const number of [4001, 4004, 4009, 4301]) {
    for (const server of [await saying(t, [], number), await saying(t, [error(number)])]) {
      const pusher = client(t, server);
      assert.equal(code(await next(pusher.connection, 'error')), number);
      await is(pusher, 'disconnected');
    }
  }
});

story('an error after the start is told, and ends nothing', async (t) => {
  const server = await saying(t, [ESTABLISHED]);
  const pusher = await connected(t, server);
  const heard = inbox(pusher.connection, 'error', 'message');
  const news = JSON.stringify({ event: 'news', data: 'x' });
  [error(4009), error(4200), error(null), 'no JSON', news].forEach(server.say);
  const all = await heard.until(([, data]) => data.event === 'news', 'the last of the frames');
  const errors = all.filter(([event]) => event === 'error').map(([, data]) => data);
  assert.deepEqual(errors.map((it) => it.data?.code ?? it.data ?? it.type), [4009, 4200, { code: null, message: 'x' }, 'no JSON']);
  assert.deepEqual([pusher.connection.state, server.accepted()], ['connected', 1]);
});

story('a greeting without a timeout is none, and a client never is connected', async (t) => {
  const greeting = { event: 'pusher:connection_established', data: '{"socket_id":"1.1"}' };
  const pusher = client(t, await saying(t, [JSON.stringify(greeting)]));
  const { type } = await next(pusher.connection, 'error');
  assert.deepEqual([type, pusher.connection.state], ['HandshakeError', 'connecting']);
});

story('4000 sends a client to the port of TLS', async (t) => {
  const secure = createServer();
  secure.listen(0, '127.0.0.1');
  await once(secure, 'listening');
  t.after(() => secure.close());
  const hello = soon(once(secure, 'connection').then(async ([socket]) => {
    t.after(() => socket.destroy());
    socket.on('error', () => socket.destroy());
    return once(socket, 'data');
  }), 'a client on the other port');
  client(t, await saying(t, [ESTABLISHED], 4000), { wssPort: secure.address().port });
  const [[contentType]] = await hello;
  assert.equal(contentType, 22, 'RFC 8446 5.1: handshake');
});
