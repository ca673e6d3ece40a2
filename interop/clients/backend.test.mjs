// The SDK for Node speaks to the HTTP API: it publishes, asks, and is told what is wrong.
import assert from 'node:assert/strict';
import { backend, client, connected, subscribed } from './support/clients.mjs';
import { APP, own, shared } from './support/server.mjs';
import { inbox, story } from './support/wait.mjs';

const json = async (response) => (await response).json();

/** The status with which the SDK says that a request was refused. */
const refusal = (request) => request.then(
  ({ status }) => assert.fail(`granted with ${status}`),
  (error) => error.status,
);

story('one event on many channels, each subscriber once, and how many those are', async (t) => {
  const server = shared();
  const names = ['one', 'two', 'presence-three'].map(own);
  const pusher = await connected(t, server);
  const boxes = [];
  for (const name of names) boxes.push(inbox(await subscribed(pusher, name), 'news'));
  const sdk = backend(server);
  assert.deepEqual(await json(sdk.trigger(names, 'news', { n: 1 })), {});
  const { channels } = await json(sdk.trigger(names, 'news', { n: 2 }, { info: 'subscription_count,user_count' }));
  assert.deepEqual(channels, {
    [names[0]]: { subscription_count: 1 },
    [names[1]]: { subscription_count: 1 },
    [names[2]]: { subscription_count: 1, user_count: 1 },
  });
  for (const box of boxes) assert.deepEqual((await box.some(2)).map(([, { n }]) => n), [1, 2]);
});

story('a batch is published in its order', async (t) => {
  const server = shared();
  const [one, other] = ['batch-one', 'batch-other'].map(own);
  const pusher = await connected(t, server);
  const heard = inbox(pusher, 'a', 'b');
  await subscribed(pusher, one);
  await subscribed(pusher, other);
  const events = [[one, 'a', 1], [other, 'b', 'plain'], [one, 'b', { x: 3 }]];
  const batch = events.map(([channel, name, data]) => ({ channel, name, data, info: 'subscription_count' }));
  const told = await json(backend(server).triggerBatch(batch));
  assert.deepEqual(told, { batch: Array(3).fill({ subscription_count: 1 }) });
  assert.deepEqual((await heard.some(3)).map(([name, data]) => [name, data]), events.map(([, name, data]) => [name, data]));
});

story('which channels there are, one channel, and its users', async (t) => {
  const server = shared();
  const [name, cached, prefix] = [own('presence-asked'), own('cache-asked'), own('presence-asked')];
  for (const id of ['ada', 'ada', 'bob']) {
    await subscribed(await connected(t, server, { user: { id } }), name);
  }
  await subscribed(client(t, server), cached);
  const sdk = backend(server);
  const ask = (path, params) => json(sdk.get({ path, params }));
  assert.deepEqual(await ask('/channels', { filter_by_prefix: prefix, info: 'user_count' }),
    { channels: { [name]: { user_count: 2 } } });
  const { channels } = await ask('/channels');
  assert.ok(name in channels && cached in channels);
  assert.deepEqual(await ask(`/channels/${name}`, { info: 'user_count,subscription_count' }),
    { occupied: true, user_count: 2, subscription_count: 3 });
  assert.deepEqual(await ask(`/channels/${own('nobody')}`), { occupied: false });
  const { users } = await ask(`/channels/${name}/users`);
  assert.deepEqual(users.map(({ id }) => id).sort(), ['ada', 'bob']);
  await sdk.trigger(cached, 'price', { cents: 5 });
  const { cache } = await ask(`/channels/${cached}`, { info: 'cache' });
  assert.deepEqual(JSON.parse(cache.data), { cents: 5 });
  assert.ok(cache.ttl > 0);
});

story('who has not signed is refused, and so is what cannot be', async () => {
  const server = shared();
  const sdk = backend(server);
  const stranger = backend(server, { ...APP, secret: 'another' });
  assert.equal(await refusal(stranger.trigger(own('x'), 'e', {})), 401);
  assert.equal(await refusal(backend(server, { ...APP, key: 'another' }).trigger(own('x'), 'e', {})), 401);
  assert.equal(await refusal(backend(server, { ...APP, id: '404' }).trigger(own('x'), 'e', {})), 404);
  assert.equal(await refusal(sdk.trigger(own('x'), 'e', 'x'.repeat(10 * 1024 + 1))), 413);
  assert.equal((await sdk.trigger(own('x'), 'e', 'x'.repeat(10 * 1024))).status, 200);
  const eleven = Array.from({ length: 11 }, () => ({ channel: own('x'), name: 'e', data: '' }));
  assert.equal(await refusal(sdk.triggerBatch(eleven)), 400);
  assert.equal(await refusal(sdk.get({ path: `/channels/${own('x')}/users` })), 400);
  assert.equal(await refusal(sdk.get({ path: '/channels', params: { info: 'user_count' } })), 400);
  assert.equal(await refusal(sdk.post({ path: '/events', body: { name: 'e' } })), 400);
});

story('what is refused is not published', async (t) => {
  const server = shared();
  const name = own('refused');
  const heard = inbox(await subscribed(await connected(t, server), name), 'bad', 'fence');
  const sdk = backend(server);
  const event = (data) => ({ channel: name, name: 'bad', data });
  await refusal(sdk.triggerBatch([event('first'), event('x'.repeat(10 * 1024 + 1))]));
  await refusal(backend(server, { ...APP, secret: 'another' }).trigger(name, 'bad', {}));
  await sdk.trigger(name, 'fence', {});
  assert.equal((await heard.next())[0], 'fence');
});
