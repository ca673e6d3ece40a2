// pusher-js loses its connection, comes back by itself, and is in everything again.
import assert from 'node:assert/strict';
import {
  backend, client, code, comesBack, connected, is, members, signedIn, subscribed,
} from './support/clients.mjs';
import { proxied } from './support/proxy.mjs';
import { own, shared, started } from './support/server.mjs';
import { inbox, next, soon, story } from './support/wait.mjs';

const CHANNELS = ['news', 'private-orders', 'presence-room', 'private-cache-price'];
const ADA = { id: 'ada', info: { name: 'Ada' } };

/** A signed-in client on all channels, and what it hears there. */
async function busy(t, server) {
  const pusher = client(t, server, { user: ADA });
  await signedIn(pusher);
  const channels = [];
  for (const name of CHANNELS) channels.push(await subscribed(pusher, own(name)));
  return { pusher, channels, heard: channels.map((channel) => inbox(channel, 'item')) };
}

/** Waits until everything that the client was in is so again; to be called before it is lost. */
function back({ pusher, channels }) {
  const all = channels.map((channel) => next(channel, 'pusher:subscription_succeeded'));
  const user = new Promise((resolve) => {
    pusher.connection.bind('message', ({ event, channel }) => {
      const isUsers = channel?.startsWith('#server-to-user-');
      if (isUsers && event === 'pusher_internal:subscription_succeeded') resolve();
    });
  });
  return Promise.all([...all, soon(user, "the user's own channel")]);
}

/** Everything that is published reaches the client again. */
async function hearsAll(server, { pusher, heard }) {
  const sdk = backend(server);
  await sdk.trigger(CHANNELS.map(own), 'item', 'again');
  for (const box of heard) assert.equal((await box.next())[1], 'again');
  const letter = next(pusher.user, 'letter');
  await sdk.sendToUser(ADA.id, 'letter', 'dear ada');
  assert.equal(await letter, 'dear ada');
}

/** A server ends so, and another takes its place; what the client made of it. */
async function replaced(t, signal) {
  const first = await started(t);
  const proxy = await proxied(t, first);
  const ada = await busy(t, proxy);
  const id = ada.pusher.connection.socket_id;
  const errors = inbox(ada.pusher.connection, 'error');
  const [duty, again] = [comesBack(ada.pusher), back(ada)];
  const second = started(t);
  proxy.turnTo(second);
  await first.end(signal);
  assert.equal(await duty, 'after a second');
  await again;
  assert.notEqual(ada.pusher.connection.socket_id, id);
  await hearsAll(await second, ada);
  return errors.rest().map(([, error]) => code(error));
}

story('a server that is killed: all is subscribed again with a new socket id', async (t) => {
  assert.deepEqual(await replaced(t, 'SIGKILL'), [1006]);
});

story('a server that stops says so, and that is no error', async (t) => {
  assert.deepEqual(await replaced(t, 'SIGTERM'), []);
});

story('a network that is cut: the others see the user go and come', async (t) => {
  const server = shared();
  const name = own('presence-cut');
  const bob = await subscribed(await connected(t, server, { user: { id: 'bob' } }), name);
  const seen = inbox(bob, 'pusher:member_added', 'pusher:member_removed');
  const proxy = await proxied(t, server);
  const pusher = client(t, proxy, { user: ADA });
  const ada = await subscribed(pusher, name);
  const again = next(ada, 'pusher:subscription_succeeded');
  proxy.cut();
  await again;
  const events = (await seen.some(3)).map(([event, { id }]) => [event, id]);
  assert.deepEqual(events, [
    ['pusher:member_added', 'ada'],
    ['pusher:member_removed', 'ada'],
    ['pusher:member_added', 'ada'],
  ]);
  assert.deepEqual([members(ada), members(bob)], Array(2).fill({ ada: ADA.info, bob: null }));
});

story('what was said meanwhile is lost, but for the last event of a cache channel', async (t) => {
  const server = shared();
  const [plain, cached] = [own('missed'), own('cache-missed')];
  const proxy = await proxied(t, server);
  const pusher = client(t, proxy);
  const channels = [await subscribed(pusher, plain), await subscribed(pusher, cached)];
  const boxes = channels.map((channel) => inbox(channel, 'item'));
  // Nobody comes through before it was said.
  let open;
  proxy.turnTo(new Promise((resolve) => { open = () => resolve(server); }));
  const again = channels.map((channel) => next(channel, 'pusher:subscription_succeeded'));
  proxy.cut();
  await is(pusher, 'connecting');
  const sdk = backend(server);
  await sdk.trigger([plain, cached], 'item', 'missed');
  open();
  await Promise.all(again);
  await sdk.trigger([plain, cached], 'item', 'heard');
  const [[first], second] = [await boxes[0].some(1), await boxes[1].some(2)];
  assert.equal(first[1], 'heard');
  assert.deepEqual(second.map(([, data]) => data), ['missed', 'heard']);
});
