// laravel-echo, as applications with Reverb set it up: its words for channels, presence and whispers.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import Echo from 'laravel-echo';
import PusherJs from 'pusher-js';
import { backend, whereabouts } from './support/clients.mjs';
import { APP, own, shared, started } from './support/server.mjs';
import { Inbox, comes, soon, story } from './support/wait.mjs';

/** What Laravel names an event of this class. */
const named = (event) => `App\\Events\\${event}`;

/** An Echo as its documentation sets it up, but for the place and the user; it goes with its story. */
function echo(t, server, { user, ...options } = {}) {
  const params = user && { user_id: user.id, user_info: JSON.stringify(user.info ?? null) };
  const { http } = server;
  const made = new Echo({
    broadcaster: 'reverb',
    Pusher: PusherJs,
    key: APP.key,
    ...whereabouts(server),
    authEndpoint: `${http}/broadcasting/auth`,
    auth: { params, headers: {} },
    userAuthentication: { endpoint: `${http}/broadcasting/user-auth`, params, headers: {} },
    withoutInterceptors: true,
    ...options,
  });
  t.after(() => made.disconnect());
  return made;
}

/** Waits until the channel of Echo is subscribed to. */
async function subscribed(channel) {
  const outcome = new Promise((resolve, reject) => channel.subscribed(resolve).error(reject));
  await soon(outcome, `the subscription to ${channel.name}`);
  return channel;
}

story('Echo connects, and knows its socket id', async (t) => {
  const one = echo(t, shared());
  await comes(() => one.socketId(), 'a socket id');
  assert.match(one.socketId(), /^\d+\.\d+$/);
});

story('events of the application, on public and private channels', async (t) => {
  const server = shared();
  const [open, closed] = [own('shop'), own('shop.7')];
  const one = echo(t, server);
  const heard = new Inbox();
  const listen = (channel) => channel
    .listen('OrderShipped', (data) => heard.put(['event', data]))
    .listen('.message', (data) => heard.put(['message', data]))
    .notification((data) => heard.put(['notification', data]));
  await subscribed(listen(one.channel(open)));
  await subscribed(listen(one.private(closed)));
  const sdk = backend(server);
  await sdk.trigger(open, named('OrderShipped'), { id: 1 });
  await sdk.trigger(open, 'unheard', {});
  await sdk.trigger(`private-${closed}`, 'message', { id: 2 });
  const notification = 'Illuminate\\Notifications\\Events\\BroadcastNotificationCreated';
  await sdk.trigger(`private-${closed}`, notification, { id: 3 });
  assert.deepEqual(await heard.some(3), [['event', { id: 1 }], ['message', { id: 2 }], ['notification', { id: 3 }]]);
});

story('whoever caused an event is left out by its socket id, as broadcast()->toOthers() does', async (t) => {
  const server = shared();
  const name = own('others');
  const [one, other] = [echo(t, server), echo(t, server)];
  const boxes = [];
  for (const each of [one, other]) {
    const heard = new Inbox();
    await subscribed(each.channel(name).listen('.said', (data) => heard.put(data)));
    boxes.push(heard);
  }
  const sdk = backend(server);
  await sdk.trigger(name, 'said', 1, { socket_id: one.socketId() });
  await sdk.trigger(name, 'said', 2);
  assert.deepEqual([await boxes[0].some(1), await boxes[1].some(2)], [[2], [1, 2]]);
});

story('here, joining, leaving, and whispers between them', async (t) => {
  const server = shared();
  const name = own('lounge');
  const [ada, bob] = [{ id: 'ada', info: { name: 'Ada' } }, { id: 'bob', info: { name: 'Bob' } }];
  const joined = async (user) => {
    const made = echo(t, server, { user });
    const heard = new Inbox();
    const channel = made.join(name)
      .here((users) => heard.put(['here', users.map((it) => it.name).sort()]))
      .joining((it) => heard.put(['joining', it.name]))
      .leaving((it) => heard.put(['leaving', it.name]))
      .listenForWhisper('typing', (data) => heard.put(['whisper', data]));
    await subscribed(channel);
    return { made, heard, channel };
  };
  const first = await joined(ada);
  assert.deepEqual(await first.heard.next(), ['here', ['Ada']]);
  const second = await joined(bob);
  assert.deepEqual(await second.heard.next(), ['here', ['Ada', 'Bob']]);
  assert.deepEqual(await first.heard.next(), ['joining', 'Bob']);
  second.channel.whisper('typing', { on: true });
  first.channel.whisper('typing', { on: false });
  assert.deepEqual(await first.heard.next(), ['whisper', { on: true }]);
  assert.deepEqual(await second.heard.next(), ['whisper', { on: false }]);
  second.made.leave(name);
  assert.deepEqual(await first.heard.next(), ['leaving', 'Bob']);
  assert.deepEqual([first.heard.rest(), second.heard.rest()], [[], []]);
});

story('a channel that the backend does not allow is told to its error()', async (t) => {
  const server = await started(t, { apps: ['id=8,key=k,secret=s,auth_token=let-me-in'] });
  const refused = echo(t, server, { key: 'k' });
  const error = new Promise((resolve) => refused.private('x').error(resolve));
  assert.equal((await soon(error, 'an error')).status, 403);
  await subscribed(echo(t, server, { key: 'k', bearerToken: 'let-me-in' }).private('x'));
});

story('an encrypted channel of Echo', async (t) => {
  const server = shared();
  const name = own('letters');
  const sdk = backend(server, APP, { encryptionMasterKeyBase64: randomBytes(32).toString('base64') });
  const customHandler = ({ socketId, channelName }, done) => done(null, sdk.authorizeChannel(socketId, channelName));
  const heard = new Inbox();
  const one = echo(t, server, { channelAuthorization: { customHandler } });
  await subscribed(one.encryptedPrivate(name).listen('.letter', (data) => heard.put(data)));
  await sdk.trigger(`private-encrypted-${name}`, 'letter', { text: 'dear bob' });
  assert.deepEqual(await heard.next(), { text: 'dear bob' });
});
