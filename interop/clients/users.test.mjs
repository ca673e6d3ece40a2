// pusher-js signs in, and hears what is meant for its user on whichever connection that is.
import assert from 'node:assert/strict';
import { backend, client, code, connected, roundTrip, signedIn } from './support/clients.mjs';
import { APP, own, shared } from './support/server.mjs';
import { inbox, next, story } from './support/wait.mjs';

/** Waits until a signed-in client hears its user's own channel, which it takes by itself. */
async function hears(pusher) {
  const { serverToUserChannel: channel } = pusher.user;
  if (!channel.subscribed) await next(channel, 'pusher:subscription_succeeded');
}

story('a client signs in and is told what is meant for its user', async (t) => {
  const server = shared();
  const [ada, bob] = [{ id: own('ada'), info: { name: 'Ada' } }, { id: own('bob') }];
  const pushers = [ada, ada, bob].map((user) => client(t, server, { user }));
  const boxes = pushers.map((pusher) => inbox(pusher.user, 'letter'));
  for (const pusher of pushers) {
    const { id } = await signedIn(pusher);
    assert.ok([ada.id, bob.id].includes(id));
    await hears(pusher);
  }
  const sdk = backend(server);
  await sdk.sendToUser(ada.id, 'letter', { text: 'dear ada' });
  await sdk.sendToUser(bob.id, 'letter', { text: 'dear bob' });
  const letters = [];
  for (const box of boxes) letters.push((await box.next())[1].text);
  assert.deepEqual(letters, ['dear ada', 'dear ada', 'dear bob']);
  for (const pusher of pushers) await roundTrip(pusher);
  assert.deepEqual(boxes.map((box) => box.rest()), [[], [], []]);
});

story('the library of the backend can sign, and its user is known', async (t) => {
  const server = shared();
  const id = own('carol');
  const sdk = backend(server);
  const customHandler = ({ socketId }, done) => {
    done(null, sdk.authenticateUser(socketId, { id, user_info: { name: 'Carol' } }));
  };
  const pusher = client(t, server, { userAuthentication: { customHandler } });
  assert.deepEqual(await signedIn(pusher), { id, user_info: { name: 'Carol' } });
});

story('a signature of somebody else signs nobody in', async (t) => {
  const server = shared();
  const wrong = backend(server, { ...APP, secret: 'another' });
  const customHandler = ({ socketId }, done) => done(null, wrong.authenticateUser(socketId, { id: 'eve' }));
  const pusher = await connected(t, server, { userAuthentication: { customHandler } });
  const errors = inbox(pusher.connection, 'error');
  pusher.signin();
  assert.equal(code((await errors.next())[1]), 4009);
  await roundTrip(pusher);
  assert.deepEqual([pusher.user.user_data, pusher.connection.state], [null, 'connected']);
});

story('nobody hears the channel of a user that they are not', async (t) => {
  const server = shared();
  const id = own('dave');
  const pusher = await connected(t, server);
  const errors = inbox(pusher.connection, 'error');
  const heard = inbox(pusher.connection, 'message');
  // pusher-js would not ask for it.
  pusher.send_event('pusher:subscribe', { channel: `#server-to-user-${id}`, auth: '' });
  assert.equal(code((await errors.next())[1]), 4009);
  await backend(server).sendToUser(id, 'letter', {});
  await roundTrip(pusher);
  assert.ok(heard.rest().every(([, { event }]) => event !== 'letter'));
});
