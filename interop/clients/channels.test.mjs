// pusher-js on channels: public, private, encrypted and cached ones, as a backend publishes on them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { backend, client, code, connected, roundTrip, subscribed } from './support/clients.mjs';
import { APP, own, shared, started } from './support/server.mjs';
import { inbox, next, story } from './support/wait.mjs';

/** The data of all that came of an event. */
const data = (items) => items.map(([, it]) => it);

/** Lets the backend's own library sign; what it gives is all that the client sends. */
function signedBy(sdk) {
  const customHandler = ({ socketId, channelName }, done) => {
    done(null, sdk.authorizeChannel(socketId, channelName));
  };
  return { channelAuthorization: { customHandler } };
}

story('what is published on a public channel arrives as it was, in order', async (t) => {
  const server = shared();
  const name = own('news');
  const channel = await subscribed(await connected(t, server), name);
  const heard = inbox(channel, 'item');
  const sdk = backend(server);
  const said = [{ text: 'é😀"\\', n: [1, null, 2.5] }, 'plain', '', 7, [1], null, { deep: { deeper: {} } }];
  for (const item of said) await sdk.trigger(name, 'item', item);
  assert.deepEqual(data(await heard.some(said.length)), said);
});

story('a hundred in a row keep their order', async (t) => {
  const server = shared();
  const name = own('counted');
  const listeners = [];
  for (let n = 0; n < 3; n += 1) listeners.push(await subscribed(await connected(t, server), name));
  const boxes = listeners.map((channel) => inbox(channel, 'n'));
  const sdk = backend(server);
  const numbers = Array.from({ length: 100 }, (_, n) => n);
  for (let at = 0; at < numbers.length; at += 10) {
    const ten = numbers.slice(at, at + 10).map((n) => ({ channel: name, name: 'n', data: n }));
    await sdk.triggerBatch(ten);
  }
  for (const box of boxes) assert.deepEqual(data(await box.some(100)), numbers);
});

story('who caused an event can be left out of it', async (t) => {
  const server = shared();
  const name = own('caused');
  const [one, other] = [await connected(t, server), await connected(t, server)];
  const boxes = [];
  for (const pusher of [one, other]) boxes.push(inbox(await subscribed(pusher, name), 'first', 'last'));
  const sdk = backend(server);
  await sdk.trigger(name, 'first', {}, { socket_id: one.connection.socket_id });
  await sdk.trigger(name, 'last', {});
  const events = async (box) => (await box.until(([event]) => event === 'last')).map(([event]) => event);
  assert.deepEqual([await events(boxes[0]), await events(boxes[1])], [['last'], ['first', 'last']]);
});

story('a channel that was left is heard no more; taken again, it is', async (t) => {
  const server = shared();
  const [name, fence] = [own('left'), own('left-fence')];
  const pusher = await connected(t, server);
  const heard = inbox(pusher, 'item');
  await subscribed(pusher, name);
  await subscribed(pusher, fence);
  const sdk = backend(server);
  pusher.unsubscribe(name);
  await roundTrip(pusher);
  await sdk.trigger(name, 'item', 'unheard');
  await sdk.trigger(fence, 'item', 'fence');
  await subscribed(pusher, name);
  await sdk.trigger(name, 'item', 'heard');
  assert.deepEqual(data(await heard.some(2)), ['fence', 'heard']);
});

story('a private channel is for whom the backend signs', async (t) => {
  const server = shared();
  const name = own('private-orders');
  const sdk = backend(server);
  // By the endpoint that asks nobody, and by the library of the backend.
  const fetched = await connected(t, server);
  const local = await connected(t, server, signedBy(sdk));
  const boxes = [];
  for (const pusher of [fetched, local]) boxes.push(inbox(await subscribed(pusher, name), 'order'));
  await sdk.trigger(name, 'order', { id: 7 });
  for (const box of boxes) assert.deepEqual(data([await box.next()]), [{ id: 7 }]);
});

story('a signature of somebody else is refused with 4009, and the connection stays', async (t) => {
  const server = shared();
  const [name, open] = [own('private-secret'), own('secret-fence')];
  const wrong = backend(server, { ...APP, secret: 'another' });
  const pusher = await connected(t, server, signedBy(wrong));
  const heard = inbox(pusher, 'item');
  const errors = inbox(pusher.connection, 'error');
  const channel = pusher.subscribe(name);
  const [, error] = await errors.next('the refusal');
  assert.equal(code(error), 4009);
  await subscribed(pusher, open);
  const sdk = backend(server);
  await sdk.trigger([name, open], 'item', 'said');
  await sdk.trigger(open, 'item', 'fence');
  assert.deepEqual(data(await heard.some(2)), ['said', 'fence']);
  assert.deepEqual([channel.subscribed, pusher.connection.state], [false, 'connected']);
});

story('an endpoint that wants a token says no without it, and then nothing is asked', async (t) => {
  const server = await started(t, { apps: ['id=4,key=k,secret=s,auth_token=let-me-in'] });
  const endpoint = `${server.http}/broadcasting/auth`;
  const pusher = await connected(t, server, { key: 'k', channelAuthorization: { endpoint } });
  const refused = await next(pusher.subscribe('private-x'), 'pusher:subscription_error');
  assert.deepEqual([refused.type, refused.status], ['AuthError', 403]);
  const headers = { Authorization: 'Bearer let-me-in' };
  const entitled = await connected(t, server, { key: 'k', channelAuthorization: { endpoint, headers } });
  await subscribed(entitled, 'private-x');
});

story('on an encrypted channel the server carries what it cannot read', async (t) => {
  const server = shared();
  const name = own('private-encrypted-letters');
  const sdk = backend(server, APP, { encryptionMasterKeyBase64: randomBytes(32).toString('base64') });
  const pusher = await connected(t, server, signedBy(sdk));
  const heard = inbox(await subscribed(pusher, name), 'letter');
  const raw = inbox(pusher.connection, 'message');
  await sdk.trigger(name, 'letter', { text: 'dear bob' });
  assert.deepEqual(data([await heard.next()]), [{ text: 'dear bob' }]);
  const [, frame] = (await raw.until(([, it]) => it.event === 'letter')).at(-1);
  assert.deepEqual(Object.keys(frame.data).sort(), ['ciphertext', 'nonce']);
});

story('a cache channel has its last event for whoever comes, or says that it has none', async (t) => {
  const server = shared();
  for (const name of [own('cache-price'), own('private-cache-price')]) {
    const sdk = backend(server);
    const early = client(t, server).subscribe(name);
    assert.deepEqual((await inbox(early, 'pusher:cache_miss', 'price').next())[0], 'pusher:cache_miss');
    await sdk.trigger(name, 'price', { cents: 1 });
    await sdk.trigger(name, 'price', { cents: 2 });
    const late = client(t, server).subscribe(name);
    const heard = inbox(late, 'pusher:cache_miss', 'price', 'pusher:subscription_succeeded');
    const came = (await heard.some(2)).map(([event, it]) => [event, it]);
    assert.deepEqual(came, [['pusher:subscription_succeeded', {}], ['price', { cents: 2 }]]);
    await sdk.trigger(name, 'price', { cents: 3 });
    assert.deepEqual(data([await heard.next()]), [{ cents: 3 }]);
  }
});

story('subscribers are told how many they are, where the application wants it', async (t) => {
  const server = await started(t, { apps: ['id=5,key=k,secret=s,subscription_count'] });
  const [one, other] = [client(t, server, { key: 'k' }), client(t, server, { key: 'k' })];
  const counts = inbox(one.subscribe('counted'), 'pusher:subscription_count');
  const count = async () => data([await counts.next('a count')])[0].subscription_count;
  assert.equal(await count(), 1);
  await subscribed(other, 'counted');
  assert.equal(await count(), 2);
  other.disconnect();
  assert.equal(await count(), 1);
});
