// The SDK for Node publishes and asks, as a backend does; what it says reaches pusher-js unchanged.
import assert from 'node:assert/strict';
import { backend, client, connected, is, roundTrip, subscribed } from './support/clients.mjs';
import { APP, own, shared } from './support/server.mjs';
import { Inbox, comes, inbox, next, story } from './support/wait.mjs';

/** Of an event's data. */
const DATA_BYTES = 10 * 1024;
/** Of what is read at all. */
const BODY_BYTES = 640 * 1024;
const BATCH = 10;
const CHANNELS = 100;

/** The status with which this is refused. */
async function status(request) {
  const error = await request.then(() => assert.fail('it was not refused'), (why) => why);
  assert.equal(error.name, 'PusherRequestError', error);
  return error.status;
}

/** What the API answers to a question. */
async function asked(sdk, path, params) {
  const answer = await sdk.get({ path, params });
  return answer.json();
}

/** Clients that all are on these channels: what each hears there of these events, in one order. */
async function audience(t, count, names, ...events) {
  const boxes = [];
  while (boxes.length < count) {
    const pusher = await connected(t, shared());
    const box = Object.assign(new Inbox(), { pusher });
    for (const name of names) {
      const channel = await subscribed(pusher, name);
      for (const event of events) channel.bind(event, (data) => box.put([event, data]));
    }
    boxes.push(box);
  }
  return boxes;
}

const heard = (items) => items.map(([, data]) => data);

story('an event reaches each subscriber of its channel once, with its data as they were', async (t) => {
  const sdk = backend(shared());
  const name = own('news');
  const boxes = await audience(t, 3, [name], 'news', 'fence');
  const [elsewhere] = await audience(t, 1, [own('other-news')], 'news');
  const said = [
    { text: 'Grüße 👋 "quoted" \\ \u0000 </script>', deep: [{ n: -1.5e-7 }, null, true] },
    [], '', 'plain, no JSON', '{"half":', '\u2028 nor this', 0, null, false,
  ];
  for (const data of said) {
    const answer = await sdk.trigger(name, 'news', data);
    assert.deepEqual([answer.status, await answer.json()], [200, {}]);
  }
  await sdk.trigger(name, 'fence', 'over');
  for (const box of boxes) {
    assert.deepEqual(heard(await box.until(([event]) => event === 'fence', 'the last')), [...said, 'over']);
  }
  await roundTrip(elsewhere.pusher);
  assert.deepEqual(elsewhere.rest(), []);
});

story('an event for several channels reaches each subscriber of each once', async (t) => {
  const sdk = backend(shared());
  const names = ['one', 'private-two', 'presence-three'].map(own);
  const [both] = await audience(t, 1, names.slice(0, 2), 'news');
  const [all] = await audience(t, 1, names, 'news');
  const [first] = await audience(t, 1, names.slice(0, 1), 'news');
  await sdk.trigger([...names, names[0]], 'news', { to: 'all' });
  for (const [box, times] of [[both, 2], [all, 3], [first, 1]]) {
    assert.deepEqual(heard(await box.some(times)), Array(times).fill({ to: 'all' }));
    await roundTrip(box.pusher);
    assert.deepEqual(box.rest(), [], 'and no more');
  }
});

story('a hundred channels take an event at once; the library refuses one more itself', async (t) => {
  const sdk = backend(shared());
  const names = Array.from({ length: CHANNELS }, (_, n) => own(`many-${n}`));
  const [ends] = await audience(t, 1, [names.at(0), names.at(-1)], 'news');
  await sdk.trigger(names, 'news', 'x');
  assert.deepEqual(heard(await ends.some(2)), ['x', 'x']);
  assert.throws(() => sdk.trigger([...names, own('many')], 'news', 'x'), /more than 100 channels/);
});

story('who caused an event does not hear it', async (t) => {
  const sdk = backend(shared());
  const names = ['private-caused', 'presence-caused'].map(own);
  const [one, other] = await audience(t, 2, names, 'news', 'fence');
  const { socket_id: cause } = one.pusher.connection;
  await sdk.trigger(names, 'news', 'x', { socket_id: cause });
  await sdk.triggerBatch([{ channel: names[0], name: 'news', data: 'y', socket_id: cause }]);
  await sdk.trigger(names[0], 'fence', 'over');
  assert.deepEqual(heard(await one.some(1)), ['over']);
  assert.deepEqual(heard(await other.some(4)), ['x', 'x', 'y', 'over']);
});

story('a batch is said in its order', async (t) => {
  const sdk = backend(shared());
  const names = ['batch-a', 'batch-b', 'private-batch'].map(own);
  const boxes = await audience(t, 2, names, 'n');
  const numbers = Array.from({ length: 3 * BATCH }, (_, n) => n);
  for (let n = 0; n < numbers.length; n += BATCH) {
    const events = numbers.slice(n, n + BATCH);
    const batch = events.map((data) => ({ channel: names[data % names.length], name: 'n', data }));
    const answer = await sdk.triggerBatch(batch);
    assert.deepEqual(await answer.json(), { batch: events.map(() => ({})) });
  }
  for (const box of boxes) assert.deepEqual(heard(await box.some(numbers.length)), numbers);
});

story('what is said can be answered with how many there are', async (t) => {
  const sdk = backend(shared());
  const [room, plain] = [own('presence-info'), own('info')];
  for (const id of ['ada', 'bob', 'bob']) {
    await subscribed(await connected(t, shared(), { user: { id } }), room);
  }
  const info = 'user_count,subscription_count';
  const answer = await sdk.trigger([room, plain], 'news', {}, { info });
  const counts = { user_count: 2, subscription_count: 3 };
  assert.deepEqual(await answer.json(), { channels: { [room]: counts, [plain]: { subscription_count: 0 } } });
  const batch = await sdk.triggerBatch([{ channel: room, name: 'news', data: {}, info }]);
  assert.deepEqual(await batch.json(), { batch: [counts] });
});

story('the occupied channels are listed by what their names begin with', async (t) => {
  const sdk = backend(shared());
  const rooms = ['presence-list-a', 'presence-list-b'].map(own);
  const pushers = [];
  for (const id of ['ada', 'bob', 'bob']) pushers.push(await connected(t, shared(), { user: { id } }));
  for (const pusher of pushers) await subscribed(pusher, rooms[0]);
  await subscribed(pushers[0], rooms[1]);
  await subscribed(pushers[0], own('list-c'));
  const list = (params) => asked(sdk, '/channels', params);
  const prefix = { filter_by_prefix: 'presence-list-' };
  const ours = ({ channels }) => Object.fromEntries(rooms.map((room) => [room, channels[room]]));
  assert.deepEqual(ours(await list({ ...prefix, info: 'user_count' })),
    { [rooms[0]]: { user_count: 2 }, [rooms[1]]: { user_count: 1 } });
  assert.deepEqual(ours(await list({})), { [rooms[0]]: {}, [rooms[1]]: {} });
  const { channels } = await list(prefix);
  assert.ok(Object.keys(channels).every((name) => name.startsWith(prefix.filter_by_prefix)), channels);
  assert.ok(own('list-c') in (await list({})).channels);
  assert.deepEqual(await list({ filter_by_prefix: own('nobody') }), { channels: {} });
  assert.equal(await status(list({ info: 'user_count' })), 400);
  assert.equal(await status(list({ filter_by_prefix: 'private-', info: 'user_count' })), 400);
});

story('a channel tells whether anybody is there, and how many', async (t) => {
  const sdk = backend(shared());
  const [room, plain] = [own('presence-state'), own('state')];
  const state = (name, info) => asked(sdk, `/channels/${name}`, info && { info });
  assert.deepEqual(await state(room), { occupied: false });
  assert.deepEqual(await state(room, 'user_count'), { occupied: false, user_count: 0 });
  const pushers = [];
  for (const id of ['ada', 'bob', 'bob']) {
    pushers.push(await connected(t, shared(), { user: { id } }));
    await subscribed(pushers.at(-1), room);
  }
  await subscribed(pushers[0], plain);
  assert.deepEqual(await state(room, 'user_count'), { occupied: true, user_count: 2 });
  assert.deepEqual(await state(room, 'subscription_count'), { occupied: true, subscription_count: 3 });
  assert.deepEqual(await state(plain), { occupied: true });
  assert.equal(await status(state(plain, 'user_count')), 400);
  pushers[0].unsubscribe(plain);
  await roundTrip(pushers[0]);
  assert.deepEqual(await state(plain), { occupied: false });
  pushers.forEach((pusher) => pusher.disconnect());
  // That they have gone is the server's to notice.
  await comes(async () => !(await state(room)).occupied, 'an empty channel');
});

story('the users of a presence channel are each told once', async (t) => {
  const sdk = backend(shared());
  const room = own('presence-users');
  const users = async () => (await asked(sdk, `/channels/${room}/users`)).users;
  assert.deepEqual(await users(), []);
  const pushers = [];
  for (const id of ['ada', 'Größe/7 ?&', 'ada']) {
    pushers.push(await connected(t, shared(), { user: { id } }));
    await subscribed(pushers.at(-1), room);
  }
  const ids = async () => (await users()).map(({ id }) => id).sort();
  assert.deepEqual(await ids(), ['Größe/7 ?&', 'ada']);
  for (const [n, left] of [[2, ['Größe/7 ?&', 'ada']], [0, ['Größe/7 ?&']]]) {
    pushers[n].unsubscribe(room);
    await roundTrip(pushers[n]);
    assert.deepEqual(await ids(), left);
  }
  assert.equal(await status(asked(sdk, `/channels/${own('state')}/users`)), 400);
});

story('what is not signed with the secret is refused, and nobody hears it', async (t) => {
  const server = shared();
  const name = own('forged');
  const [box] = await audience(t, 1, [name], 'news');
  const forged = backend(server, { ...APP, secret: 'another' });
  const keyless = backend(server, { ...APP, key: 'another' });
  for (const sdk of [forged, keyless]) {
    assert.equal(await status(sdk.trigger(name, 'news', {})), 401);
    assert.equal(await status(sdk.triggerBatch([{ channel: name, name: 'news', data: {} }])), 401);
    assert.equal(await status(asked(sdk, '/channels')), 401);
    assert.equal(await status(sdk.terminateUserConnections('ada')), 401);
  }
  assert.equal(await status(backend(server, { ...APP, id: '404' }).trigger(name, 'news', {})), 404);
  // Signed for one thing, and used for another.
  const [path, body] = [`/apps/${APP.id}/events`, JSON.stringify({ name: 'news', channel: name, data: 'x' })];
  const query = backend(server).createSignedQueryString({ method: 'POST', path, body });
  const post = (text) => fetch(`${server.http}${path}?${query}`, { method: 'POST', body: text });
  assert.equal((await post(body.replace('"x"', '"y"'))).status, 401);
  await roundTrip(box.pusher);
  assert.deepEqual(box.rest(), []);
  assert.equal((await post(body)).status, 200);
});

story('what is too much is refused whole, by the library or by the server', async (t) => {
  const sdk = backend(shared());
  const name = own('much');
  const [box] = await audience(t, 1, [name], 'n', 'fence');
  // The library knows of names and how many channels there may be …
  assert.throws(() => sdk.trigger(name, 'n'.repeat(201), {}), /Too long event name/);
  assert.throws(() => sdk.trigger('a'.repeat(201), 'n', {}), /Channel name too long/);
  assert.throws(() => sdk.trigger('no name', 'n', {}), /Invalid channel name/);
  assert.throws(() => sdk.trigger(name, 'n', {}, { socket_id: '1' }), /Invalid socket id/);
  // … and leaves to the server how long data may be, and a batch, and the rest of a name.
  const fits = 'ü'.repeat(DATA_BYTES / 2);
  await sdk.trigger(name, 'n', fits);
  assert.equal(await status(sdk.trigger(name, 'n', `${fits}x`)), 413);
  assert.equal(await status(sdk.trigger(name, 'n', 'x'.repeat(BODY_BYTES))), 413);
  const event = { channel: name, name: 'n', data: 'x' };
  const large = { ...event, data: `${fits}x` };
  assert.equal(await status(sdk.triggerBatch([event, large])), 413);
  assert.equal(await status(sdk.triggerBatch(Array(BATCH + 1).fill(event))), 400);
  assert.equal(await status(sdk.triggerBatch([event, { ...event, channel: 'no name' }])), 400);
  assert.equal(await status(sdk.trigger('a'.repeat(165), 'n', {})), 400);
  await sdk.trigger(name, 'fence', 'over');
  assert.deepEqual(heard(await box.some(2)), [fits, 'over']);
});

story('what is meant for a user reaches that user on each of its connections, and nobody else', async (t) => {
  const server = shared();
  const sdk = backend(server);
  const [ada, bob] = ['ada', 'bob'].map((name) => ({ id: own(name) }));
  const boxes = [];
  for (const user of [ada, ada, bob]) {
    const pusher = client(t, server, { user });
    const { serverToUserChannel: none } = pusher.user;
    assert.equal(none, null);
    pusher.signin();
    await is(pusher, 'connected');
    await pusher.user.signinDonePromise;
    const { serverToUserChannel: channel } = pusher.user;
    if (!channel.subscribed) await next(channel, 'pusher:subscription_succeeded');
    boxes.push(Object.assign(inbox(pusher.user, 'letter'), { pusher }));
  }
  const [stranger] = await audience(t, 1, [own('strange')], 'letter');
  await sdk.sendToUser(ada.id, 'letter', { dear: 'ada' });
  await sdk.sendToUser(bob.id, 'letter', 'dear bob');
  const letters = [{ dear: 'ada' }, { dear: 'ada' }, 'dear bob'];
  for (const box of boxes) assert.deepEqual(heard(await box.some(1)), [letters.shift()]);
  for (const box of [...boxes, stranger]) {
    await roundTrip(box.pusher);
    assert.deepEqual(box.rest(), []);
  }
});
