// A server dies, another takes its place: what pusher-js clients have again, and what they have missed.
import assert from 'node:assert/strict';
import { backend, client, connected, is, members, roundTrip, subscribed } from './support/clients.mjs';
import { proxied } from './support/proxy.mjs';
import { own, shared, started } from './support/server.mjs';
import { comes, inbox, next, story } from './support/wait.mjs';

const RESUBSCRIBED = 'pusher:subscription_succeeded';

/** Each kind of channel that a client has again by itself. */
const NAMES = ['public', 'private-a', 'presence-a', 'private-cache-a'];

/** Takes the server from behind the proxy; what is called at last puts the next one there. */
async function replace(t, proxy, server, signal = 'SIGKILL') {
  const next = await started(t);
  let arrive;
  proxy.turnTo(new Promise((resolve) => { arrive = resolve; }));
  await server.end(signal);
  return { next, arrive: () => arrive(next) };
}

/** That all of these channels are subscribed to again. To be called before it can be so. */
function again(channels) {
  return Promise.all(channels.map((channel) => next(channel, RESUBSCRIBED)));
}

/** Waits until a client is told what is meant for its user. */
async function hearsUser(pusher) {
  await comes(() => pusher.user.serverToUserChannel?.subscribed, 'the channel of the user');
}

/** A client that is signed in and on all kinds of channels, by signatures that are noted. */
async function everywhere(t, server, user) {
  const signed = [];
  const sign = ({ socketId, channelName }, done) => {
    signed.push([socketId, channelName]);
    const data = channelName.startsWith('presence-') ? { user_id: user.id, user_info: user.info } : undefined;
    done(null, backend(server).authorizeChannel(socketId, channelName, data));
  };
  const pusher = client(t, server, { user, channelAuthorization: { customHandler: sign } });
  pusher.signin();
  await is(pusher, 'connected');
  await hearsUser(pusher);
  const channels = [];
  for (const name of NAMES) channels.push(await subscribed(pusher, name));
  return { pusher, channels, signed };
}

for (const signal of ['SIGKILL', 'SIGTERM']) {
  story(`a client is back with all it had when its server ended by ${signal}`, async (t) => {
    const server = await started(t);
    const proxy = await proxied(t, server);
    const { pusher, channels, signed } = await everywhere(t, proxy, { id: 'ada', info: { name: 'Ada' } });
    const boxes = channels.map((channel) => inbox(channel, 'news'));
    const letters = inbox(pusher.user, 'letter');
    await backend(server).trigger(NAMES, 'news', 'before');
    for (const box of boxes) assert.equal((await box.next())[1], 'before');
    const before = pusher.connection.socket_id;

    const [isLost, isBack] = [next(pusher.connection, 'connecting_in'), again(channels)];
    const { next: other, arrive } = await replace(t, proxy, server, signal);
    await isLost;
    await backend(other).trigger(NAMES, 'news', 'meanwhile');
    await backend(other).sendToUser('ada', 'letter', 'meanwhile');
    arrive();
    await isBack;
    await hearsUser(pusher);

    const after = pusher.connection.socket_id;
    assert.notEqual(after, before);
    const secret = NAMES.filter((name) => name !== 'public');
    const expected = [before, after].map((id) => secret.map((name) => [id, name]));
    assert.deepEqual(signed.slice(0, 3), expected[0]);
    assert.deepEqual(signed.slice(3).sort(), expected[1].sort());
    await backend(other).trigger(NAMES, 'news', 'after');
    await backend(other).sendToUser('ada', 'letter', 'after');
    await letters.next().then(([, letter]) => assert.equal(letter, 'after'));
    await roundTrip(pusher);
    const heard = boxes.map((box) => box.rest().map(([, data]) => data));
    // Nothing is replayed, but by a channel whose last event is kept.
    assert.deepEqual(heard, [['after'], ['after'], ['after'], ['meanwhile', 'after']]);
    assert.deepEqual(letters.rest(), []);
  });
}

story('who is there is right again, whoever is not back and whoever was there first', async (t) => {
  const server = await started(t);
  const proxy = await proxied(t, server);
  const name = 'presence-a';
  const on = async (id, at = proxy) => {
    const pusher = await connected(t, at, { user: { id, info: { name: id } } });
    return { pusher, channel: await subscribed(pusher, name) };
  };
  const [ada, bob, carol] = [await on('ada'), await on('bob'), await on('carol')];
  await roundTrip(ada.pusher);
  assert.deepEqual(Object.keys(members(ada.channel)).sort(), ['ada', 'bob', 'carol']);

  const [lost, isBack] = [
    [ada, bob, carol].map(({ pusher }) => next(pusher.connection, 'connecting_in')),
    again([ada.channel, bob.channel]),
  ];
  const { next: other, arrive } = await replace(t, proxy, server);
  await Promise.all(lost);
  carol.pusher.disconnect();
  const dave = await on('dave', other);
  arrive();
  await isBack;
  const there = Object.fromEntries(['ada', 'bob', 'dave'].map((id) => [id, { name: id }]));
  for (const { pusher, channel } of [ada, bob, dave]) {
    await roundTrip(pusher);
    assert.deepEqual(members(channel), there);
    assert.equal(channel.members.count, 3);
  }
  assert.equal(ada.channel.members.me.id, 'ada');
  const left = next(ada.channel, 'pusher:member_removed');
  dave.pusher.disconnect();
  assert.deepEqual(await left, { id: 'dave', info: { name: 'dave' } });
});

story('a connection that is cut again and again leaves nothing behind', async (t) => {
  const server = shared();
  const proxy = await proxied(t, server);
  const names = ['private-cut', 'presence-cut'].map(own);
  const witness = await subscribed(await connected(t, server, { user: { id: 'bob' } }), names[1]);
  const pusher = await connected(t, proxy, { user: { id: 'ada' } });
  const channels = [];
  for (const name of names) channels.push(await subscribed(pusher, name));
  const boxes = channels.map((channel) => inbox(channel, 'news'));
  const ids = new Set([pusher.connection.socket_id]);
  for (let round = 1; round <= 2; round += 1) {
    const isBack = again(channels);
    proxy.cut();
    await isBack;
    ids.add(pusher.connection.socket_id);
    await backend(server).trigger(names, 'news', round);
    for (const box of boxes) assert.equal((await box.next())[1], round);
  }
  await roundTrip(pusher);
  assert.deepEqual(boxes.map((box) => box.rest()), [[], []]);
  assert.equal(ids.size, 3, 'a socket id each time');
  const params = { info: 'subscription_count' };
  const count = async (name) => {
    const answer = await backend(server).get({ path: `/channels/${name}`, params });
    return (await answer.json()).subscription_count;
  };
  const counts = async () => [await count(names[0]), await count(names[1])].join();
  await comes(async () => (await counts()) === '1,2', 'the ends of those that were cut');
  await comes(() => Object.keys(members(witness)).length === 2, 'the right members');
});

story('what was asked for while there was no connection holds in the next', async (t) => {
  const server = await started(t);
  const proxy = await proxied(t, server);
  const pusher = await connected(t, proxy);
  const left = await subscribed(pusher, 'private-left');
  await subscribed(pusher, 'private-kept');
  const isLost = next(pusher.connection, 'connecting_in');
  const { next: other, arrive } = await replace(t, proxy, server);
  await isLost;
  pusher.unsubscribe(left.name);
  const isNew = subscribed(pusher, 'private-new');
  const [isKept, back] = [again([pusher.channel('private-kept')]), inbox(left, RESUBSCRIBED)];
  arrive();
  await Promise.all([isNew, isKept]);
  await roundTrip(pusher);
  const { channels } = await (await backend(other).get({ path: '/channels' })).json();
  assert.deepEqual(Object.keys(channels).sort(), ['private-kept', 'private-new']);
  assert.deepEqual(back.rest(), []);
});
