// A backend is told what happens on its channels, and the SDK for Node believes it.
import assert from 'node:assert/strict';
import { backend, connected, roundTrip, subscribed } from './support/clients.mjs';
import { Told, receiver } from './support/receiver.mjs';
import { APP, started } from './support/server.mjs';
import { comes, inbox, story } from './support/wait.mjs';

/** What is put off is told soon. */
const SOON = '100ms';
/** What is put off is not told within a story. */
const NEVER = '1h';
const GOINGS = ['pusher:member_added', 'pusher:member_removed'];
/** Between two readings of clocks. */
const SLACK_MS = 1000;

const occupied = (channel) => ({ name: 'channel_occupied', channel });
const vacated = (channel) => ({ name: 'channel_vacated', channel });
const added = (channel, user) => ({ name: 'member_added', channel, user_id: user });
const removed = (channel, user) => ({ name: 'member_removed', channel, user_id: user });

/** A server, and the backend that it tells. */
async function told(t, { delay = NEVER, words = '', answers } = {}) {
  const requests = await receiver(t, answers);
  const { id, key, secret } = APP;
  const app = `id=${id},key=${key},secret=${secret},webhook=${requests.url},webhook_delay=${delay}${words}`;
  const server = await started(t, { apps: [app] });
  const sdk = backend(server);
  return { server, requests, sdk, backend: new Told(requests, sdk) };
}

/** A user's client on a channel. */
async function on(t, server, channel, id) {
  const pusher = await connected(t, server, id && { user: { id, info: { name: id } } });
  return { pusher, channel: await subscribed(pusher, channel) };
}

story('a webhook is a request that the library finds valid, with its time and its events', async (t) => {
  const begun = Date.now();
  const { server, requests, sdk } = await told(t);
  await on(t, server, 'a');
  const request = await requests.next('a webhook');
  assert.deepEqual([request.method, request.path], ['POST', '/hook?of=story']);
  const webhook = sdk.webhook(request);
  assert.equal(webhook.isContentTypeValid(), true);
  assert.equal(webhook.isValid(), true);
  assert.deepEqual(webhook.getEvents(), [occupied('a')]);
  const time = webhook.getTime().getTime();
  assert.ok(time > begun - SLACK_MS && time < Date.now() + SLACK_MS, `${time} is not about ${begun}`);
  assert.deepEqual(Object.keys(webhook.getData()), ['time_ms', 'events']);
});

story('to another secret, or changed, or for another key, it is none', async (t) => {
  const { server, requests, sdk } = await told(t);
  await on(t, server, 'a');
  const request = await requests.next('a webhook');
  const wrong = backend(server, { ...APP, secret: 'another' });
  assert.equal(wrong.webhook(request).isValid(), false);
  assert.equal(wrong.webhook(request).isValid({ key: APP.key, secret: APP.secret }), true, 'one of several');
  assert.equal(backend(server, { ...APP, key: 'another' }).webhook(request).isValid(), false);
  const changed = { ...request, rawBody: request.rawBody.replace('"a"', '"b"') };
  assert.notEqual(changed.rawBody, request.rawBody);
  assert.equal(sdk.webhook(changed).isValid(), false);
});

story('a channel is occupied before its first member is there, who is told of once', async (t) => {
  const { server, backend: it } = await told(t);
  await on(t, server, 'presence-a', 'ada');
  await on(t, server, 'presence-a', 'ada');
  await on(t, server, 'presence-a', 'bob');
  await on(t, server, 'private-b');
  assert.deepEqual(await it.some(4), [
    occupied('presence-a'), added('presence-a', 'ada'), added('presence-a', 'bob'), occupied('private-b'),
  ]);
});

story('what clients say is told, with who said it; what the backend says is not', async (t) => {
  const { server, sdk, backend: it } = await told(t);
  const one = await on(t, server, 'presence-a', 'ada');
  const other = await on(t, server, 'private-b');
  await it.some(3);
  await sdk.trigger(['presence-a', 'private-b'], 'news', {});
  one.channel.trigger('client-typing', { on: true });
  await roundTrip(one.pusher);
  other.channel.trigger('client-text', 'plain');
  const by = ({ pusher }) => ({ name: 'client_event', socket_id: pusher.connection.socket_id });
  assert.deepEqual(await it.some(2), [
    { ...by(one), channel: 'presence-a', event: 'client-typing', data: '{"on":true}', user_id: 'ada' },
    { ...by(other), channel: 'private-b', event: 'client-text', data: 'plain' },
  ]);
});

story('whoever finds nothing in a cache channel is told of, until there is something', async (t) => {
  const { server, sdk, backend: it } = await told(t);
  await on(t, server, 'cache-a');
  await on(t, server, 'cache-a');
  await sdk.trigger('cache-a', 'news', 'x');
  await on(t, server, 'cache-a');
  await on(t, server, 'fence');
  const miss = { name: 'cache_miss', channel: 'cache-a' };
  assert.deepEqual(await it.some(4), [occupied('cache-a'), miss, miss, occupied('fence')]);
});

story('how many subscribe is told where that is switched on', async (t) => {
  const { server, backend: it } = await told(t, { words: ',subscription_count' });
  const { pusher } = await on(t, server, 'a');
  await on(t, server, 'a');
  pusher.unsubscribe('a');
  const count = (subscription_count) => ({ name: 'subscription_count', channel: 'a', subscription_count });
  assert.deepEqual(await it.some(4), [occupied('a'), count(1), count(2), count(1)]);
});

story('who is gone is told after a while, the last member before the empty channel', async (t) => {
  const { server, backend: it } = await told(t, { delay: SOON });
  const [ada, twin, bob] = [
    await on(t, server, 'presence-a', 'ada'),
    await on(t, server, 'presence-a', 'ada'),
    await on(t, server, 'presence-a', 'bob'),
  ];
  await it.some(3);
  ada.pusher.disconnect();
  bob.pusher.unsubscribe('presence-a');
  assert.deepEqual(await it.next(), removed('presence-a', 'bob'), 'ada is still there once');
  twin.pusher.disconnect();
  assert.deepEqual(await it.some(2), [removed('presence-a', 'ada'), vacated('presence-a')]);
  await on(t, server, 'presence-a', 'ada');
  assert.deepEqual(await it.some(2), [occupied('presence-a'), added('presence-a', 'ada')]);
});

story('who is back before that was never away', async (t) => {
  const { server, sdk, backend: it } = await told(t);
  const bob = await on(t, server, 'presence-b', 'bob');
  const ada = await on(t, server, 'presence-a', 'ada');
  await it.some(4);
  // By leaving the channel, and by losing the connection; the others do see it.
  bob.pusher.unsubscribe('presence-b');
  await roundTrip(bob.pusher);
  const goings = inbox(await subscribed(bob.pusher, 'presence-b'), ...GOINGS);
  const eve = await on(t, server, 'presence-b', 'eve');
  eve.pusher.disconnect();
  assert.deepEqual((await goings.some(2)).map(([event]) => event), GOINGS);
  await on(t, server, 'presence-b', 'eve');
  ada.pusher.disconnect();
  const state = async () => (await sdk.get({ path: '/channels/presence-a' })).json();
  await comes(async () => !(await state()).occupied, 'the end of a connection');
  await on(t, server, 'presence-a', 'ada');
  await on(t, server, 'fence');
  assert.deepEqual(await it.some(2), [added('presence-b', 'eve'), occupied('fence')]);
});

story('what a backend does not take it is told again, the very same, before all else', async (t) => {
  const { server, requests, sdk } = await told(t, { answers: [500, 302, 404, 200] });
  await on(t, server, 'a');
  const first = await requests.next('a webhook');
  await on(t, server, 'b');
  for (const again of await requests.some(3, 'the same again')) {
    assert.equal(again.rawBody, first.rawBody);
    assert.equal(again.headers['x-pusher-signature'], first.headers['x-pusher-signature']);
    assert.equal(sdk.webhook(again).isValid(), true);
  }
  assert.deepEqual(sdk.webhook(first).getEvents(), [occupied('a')]);
  assert.deepEqual(sdk.webhook(await requests.next('what came next')).getEvents(), [occupied('b')]);
});

story('each application tells its own backend, with its own secret', async (t) => {
  const [one, other] = [await receiver(t), await receiver(t)];
  const apps = [{ id: '1', key: 'k1', secret: 's1' }, { id: '2', key: 'k2', secret: 's2' }];
  const words = ({ id, key, secret }, { url }) => `id=${id},key=${key},secret=${secret},webhook=${url}`;
  const server = await started(t, { apps: [words(apps[0], one), words(apps[1], other)] });
  for (const [n, box] of [[1, other], [0, one]]) {
    await subscribed(await connected(t, server, { key: apps[n].key }), `of-${n}`);
    const request = await box.next('a webhook');
    const sdks = apps.map((app) => backend(server, app));
    assert.deepEqual(sdks.map((sdk) => sdk.webhook(request).isValid()), [n === 0, n === 1]);
    assert.deepEqual(sdks[n].webhook(request).getEvents(), [occupied(`of-${n}`)]);
  }
  assert.deepEqual([one.rest(), other.rest()], [[], []]);
});

story('a backend that is not there delays nobody', async (t) => {
  const gone = await receiver(t, Array(1000).fill(503));
  const { id, key, secret } = APP;
  const server = await started(t, { apps: [`id=${id},key=${key},secret=${secret},webhook=${gone.url}`] });
  const { pusher, channel } = await on(t, server, 'presence-a', 'ada');
  const heard = inbox(channel, 'news');
  await gone.next('a webhook');
  await backend(server).trigger('presence-a', 'news', 'x');
  assert.deepEqual((await heard.next())[1], 'x');
  await roundTrip(pusher);
});
