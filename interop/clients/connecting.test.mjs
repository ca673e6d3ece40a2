// pusher-js comes, is refused, is sent away, and knows from the code whether it may come back.
import assert from 'node:assert/strict';
import {
  backend, client, code, comesBack, connected, is, roundTrip, signedIn, subscribed,
} from './support/clients.mjs';
import { proxied } from './support/proxy.mjs';
import { own, shared, started } from './support/server.mjs';
import { comes, inbox, next, story } from './support/wait.mjs';

/** The code of the first error of a client that is refused; it stays away afterwards. */
async function refused(pusher) {
  const error = await next(pusher.connection, 'error');
  await is(pusher, 'disconnected');
  return code(error);
}

story('a client connects, is called by its socket id, and leaves', async (t) => {
  const states = [];
  const pusher = client(t, shared());
  pusher.connection.bind('state_change', ({ current }) => states.push(current));
  await is(pusher, 'connected');
  assert.match(pusher.connection.socket_id, /^\d+\.\d+$/);
  await roundTrip(pusher);
  pusher.disconnect();
  await is(pusher, 'disconnected');
  assert.deepEqual(states, ['connected', 'disconnected']);
});

story('two clients have two socket ids', async (t) => {
  const [one, other] = [await connected(t, shared()), await connected(t, shared())];
  assert.notEqual(one.connection.socket_id, other.connection.socket_id);
});

story('an unknown key is refused with 4001, and the client stays away', async (t) => {
  const proxy = await proxied(t, shared());
  const pusher = client(t, proxy, { key: 'no-such-key' });
  assert.equal(await refused(pusher), 4001);
  await roundTrip(await connected(t, proxy));
  assert.equal(proxy.accepted(), 2, 'one each');
  assert.equal(pusher.connection.state, 'disconnected');
});

story('an application that is switched off is refused with 4003, a full one with 4004', async (t) => {
  const apps = ['id=2,key=off,secret=s,disabled', 'id=3,key=small,secret=s,max_connections=1'];
  const server = await started(t, { apps });
  assert.equal(await refused(client(t, server, { key: 'off' })), 4003);
  const first = await connected(t, server, { key: 'small' });
  assert.equal(await refused(client(t, server, { key: 'small' })), 4004);
  await roundTrip(first);
  first.disconnect();
  // When its place is free is the server's to know.
  await comes(async () => {
    const again = client(t, server, { key: 'small' });
    await new Promise((resolve) => {
      again.connection.bind('connected', resolve);
      again.connection.bind('disconnected', resolve);
    });
    return again.connection.state === 'connected';
  }, 'a free place');
});

story('who asks whether anybody is there is answered, however often', async (t) => {
  // The client's own patience is shorter than what the server announces.
  const pusher = await connected(t, shared(), { activityTimeout: 200 });
  const id = pusher.connection.socket_id;
  const heard = inbox(pusher.connection, 'message');
  const beats = await heard.some(3, 'a pong');
  assert.deepEqual(beats.map(([, { event }]) => event), Array(3).fill('pusher:pong'));
  assert.equal(pusher.connection.socket_id, id);
});

story('an idle client keeps its connection, whichever side asks first', async (t) => {
  const server = await started(t, { heartbeat: '1s/120s' });
  const pusher = await connected(t, server);
  const id = pusher.connection.socket_id;
  const heard = inbox(pusher.connection, 'message');
  for (const [, { event }] of await heard.some(3, 'a sign of life')) {
    assert.match(event, /^pusher:(ping|pong)$/);
  }
  await roundTrip(pusher);
  assert.equal(pusher.connection.socket_id, id);
});

story('a client that cannot be heard is closed with 4201, and is back at once', async (t) => {
  const server = await started(t, { heartbeat: '1s/2s' });
  const proxy = await proxied(t, server);
  // Its own patience is longer: it is the server that gives up.
  const pusher = client(t, proxy, { pongTimeout: 120_000 });
  const channel = await subscribed(pusher, own('half-dead'));
  const id = pusher.connection.socket_id;
  const [error, duty] = [next(pusher.connection, 'error'), comesBack(pusher)];
  const back = next(channel, 'pusher:subscription_succeeded');
  proxy.deafen();
  assert.equal(code(await error), 4201);
  assert.equal(await duty, 'at once');
  await back;
  assert.notEqual(pusher.connection.socket_id, id);
});

story('a user whose connections are terminated gets 4009 and stays away; others stay', async (t) => {
  const server = shared();
  const [ada, bob] = [{ id: own('ada') }, { id: own('bob') }];
  const [first, second, other] = [ada, ada, bob].map((user) => client(t, server, { user }));
  for (const pusher of [first, second, other]) await signedIn(pusher);
  const ends = [first, second].map((pusher) => refused(pusher));
  await backend(server).terminateUserConnections(ada.id);
  assert.deepEqual(await Promise.all(ends), [4009, 4009]);
  await roundTrip(other);
  assert.deepEqual([first, second, other].map((it) => it.connection.state),
    ['disconnected', 'disconnected', 'connected']);
});
