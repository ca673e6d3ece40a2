// pusher-js clients among themselves: client events, and who may not send them.
import assert from 'node:assert/strict';
import { backend, code, connected, roundTrip, subscribed } from './support/clients.mjs';
import { own, shared, started } from './support/server.mjs';
import { inbox, story } from './support/wait.mjs';

/** More than a client may say in a second, however slowly it is read. */
const MANY = 100;
const MAY = 10;

/** The channel, at two clients. */
async function pair(t, server, name, [one, other] = [{}, {}]) {
  const pushers = [await connected(t, server, one), await connected(t, server, other)];
  const channels = [];
  for (const pusher of pushers) channels.push(await subscribed(pusher, name));
  return { pushers, channels };
}

story('what a client whispers is heard by the others, never by itself', async (t) => {
  const server = shared();
  const name = own('private-whisper');
  const { channels: [one, other] } = await pair(t, server, name);
  const boxes = [one, other].map((channel) => inbox(channel, 'client-typing', 'fence'));
  const said = [{ name: 'ada' }, 'text', 7, [], null];
  for (const data of said) assert.equal(one.trigger('client-typing', data), true);
  assert.deepEqual((await boxes[1].some(said.length)).map(([, data]) => data), said);
  await backend(server).trigger(name, 'fence', {});
  assert.deepEqual([(await boxes[0].next())[0], (await boxes[1].next())[0]], ['fence', 'fence']);
});

story('in a presence channel it is known who whispers, whatever they say of themselves', async (t) => {
  const server = shared();
  const name = own('presence-whisper');
  const users = [{ user: { id: 'ada' } }, { user: { id: 'bob' } }];
  const { channels: [ada, bob] } = await pair(t, server, name, users);
  const heard = inbox(bob, 'client-typing');
  ada.trigger('client-typing', { user_id: 'eve' });
  assert.deepEqual(await heard.next(), ['client-typing', { user_id: 'eve' }, { user_id: 'ada' }]);
});

story('nobody whispers on public channels, nor where they are not', async (t) => {
  const server = shared();
  const [open, closed] = [own('public-whisper'), own('private-elsewhere')];
  const { pushers: [one, other], channels } = await pair(t, server, open);
  const boxes = [inbox(channels[1], 'client-x'), inbox(await subscribed(other, closed), 'client-x')];
  const errors = inbox(one.connection, 'error');
  channels[0].trigger('client-x', {});
  one.send_event('client-x', {}, closed);
  for (const [, error] of await errors.some(2)) assert.equal(code(error), 4009);
  await roundTrip(other);
  assert.deepEqual([boxes[0].rest(), boxes[1].rest(), one.connection.state], [[], [], 'connected']);
});

story('ten in a second are passed on, more are refused, and nobody is sent away', async (t) => {
  const { pushers, channels: [one, other] } = await pair(t, shared(), own('private-flood'));
  const [errors, heard] = [inbox(pushers[0].connection, 'error'), inbox(other, 'client-n')];
  for (let n = 0; n < MANY; n += 1) one.trigger('client-n', n);
  for (const pusher of pushers) await roundTrip(pusher);
  const [refused, passed] = [errors.rest(), heard.rest().map(([, n]) => n)];
  assert.equal(refused.length + passed.length, MANY);
  assert.ok(refused.length > 0, 'none was refused');
  assert.ok(refused.every(([, error]) => code(error) === 4301));
  assert.deepEqual(passed.slice(0, MAY), Array.from({ length: MAY }, (_, n) => n));
  assert.deepEqual(passed, passed.toSorted((a, b) => a - b));
  assert.equal(pushers[0].connection.state, 'connected');
});

story('an application can do without', async (t) => {
  const server = await started(t, { apps: ['id=6,key=k,secret=s,client_events=off'] });
  const { pushers, channels: [one, other] } = await pair(t, server, 'private-quiet', [{ key: 'k' }, { key: 'k' }]);
  const [errors, heard] = [inbox(pushers[0].connection, 'error'), inbox(other, 'client-x')];
  one.trigger('client-x', {});
  assert.equal(code((await errors.next())[1]), 4301);
  await roundTrip(pushers[1]);
  assert.deepEqual(heard.rest(), []);
});
