// pusher-js in presence channels: who is here, who comes, who goes; users, not connections.
import assert from 'node:assert/strict';
import { backend, client, connected, members, roundTrip, subscribed } from './support/clients.mjs';
import { own, shared } from './support/server.mjs';
import { inbox, story } from './support/wait.mjs';

const ADDED = 'pusher:member_added';
const REMOVED = 'pusher:member_removed';
const ADA = { id: 'ada', info: { name: 'Ada', at: 'é' } };
const BOB = { id: '10', info: { name: 'Bob' } };
const CAROL = { id: 'carol' };

/** What came, as `[event, user]`. */
const news = (items) => items.map(([event, member]) => [event, member.id]);

story('here, joining, leaving', async (t) => {
  const server = shared();
  const name = own('presence-room');
  const ada = await subscribed(await connected(t, server, { user: ADA }), name);
  assert.deepEqual([ada.members.count, ada.members.me], [1, ADA]);
  const heard = inbox(ada, ADDED, REMOVED);
  const bobs = await connected(t, server, { user: BOB });
  const bob = await subscribed(bobs, name);
  assert.deepEqual(members(bob), { ada: ADA.info, 10: BOB.info });
  assert.equal(bob.members.me.id, BOB.id);
  assert.deepEqual(await heard.next(), [ADDED, BOB, undefined]);
  assert.deepEqual(members(ada), members(bob));
  bobs.unsubscribe(name);
  assert.deepEqual(news([await heard.next()]), [[REMOVED, BOB.id]]);
  await subscribed(bobs, name);
  bobs.disconnect();
  assert.deepEqual(news(await heard.some(2)), [[ADDED, BOB.id], [REMOVED, BOB.id]]);
  assert.deepEqual([ada.members.count, members(ada)], [1, { ada: ADA.info }]);
});

story('a user with two connections is one member, until the last is gone', async (t) => {
  const server = shared();
  const name = own('presence-twice');
  const watcher = await subscribed(await connected(t, server, { user: ADA }), name);
  const heard = inbox(watcher, ADDED, REMOVED);
  const [first, second] = [await connected(t, server, { user: BOB }), await connected(t, server, { user: BOB })];
  await subscribed(first, name);
  const again = await subscribed(second, name);
  assert.equal(again.members.count, 2);
  first.unsubscribe(name);
  await roundTrip(first);
  // Whoever comes now is heard of before anything that happens later.
  await subscribed(await connected(t, server, { user: CAROL }), name);
  second.disconnect();
  assert.deepEqual(news(await heard.some(3)), [[ADDED, BOB.id], [ADDED, CAROL.id], [REMOVED, BOB.id]]);
});

story('a backend sees the members that clients see', async (t) => {
  const server = shared();
  const name = own('presence-seen');
  const sdk = backend(server);
  const users = async () => {
    const response = await sdk.get({ path: `/channels/${name}/users` });
    return (await response.json()).users.map(({ id }) => id).sort();
  };
  assert.deepEqual(await users(), []);
  const channel = await subscribed(await connected(t, server, { user: ADA }), name);
  const heard = inbox(channel, ADDED, REMOVED);
  const bob = await connected(t, server, { user: BOB });
  await subscribed(bob, name);
  await heard.next();
  assert.deepEqual(await users(), Object.keys(members(channel)).sort());
  bob.disconnect();
  await heard.next();
  assert.deepEqual(await users(), ['ada']);
});

story('a crowd that comes and goes leaves everybody with the same picture', async (t) => {
  const server = shared();
  const name = own('presence-crowd');
  const pushers = Array.from({ length: 20 }, (_, n) => client(t, server, { user: { id: `user-${n}`, info: n } }));
  const channels = await Promise.all(pushers.map((pusher) => subscribed(pusher, name)));
  // Half of them go, all at once; who stays hears of each.
  const [go, stay] = [pushers.slice(0, 10), channels.slice(10)];
  const boxes = stay.map((channel) => inbox(channel, REMOVED));
  go.forEach((pusher) => pusher.disconnect());
  for (const box of boxes) await box.some(go.length);
  const left = Object.fromEntries(stay.map((_, n) => [`user-${n + 10}`, n + 10]));
  for (const channel of stay) assert.deepEqual(members(channel), left);
});
