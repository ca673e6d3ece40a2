// A backend is told what happens, and finds with its SDK that it was this server who told it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { backend, client, connected, is, subscribed } from './support/clients.mjs';
import { started } from './support/server.mjs';
import { Inbox, inbox, story } from './support/wait.mjs';

const APP = { id: '7', key: 'hooked', secret: 'hush' };

/** A backend that is told by a server of its own: it answers with these statuses, then with 200. */
async function told(t, statuses = []) {
  const requests = new Inbox();
  const receiver = createServer(async (request, response) => {
    const { headers } = request;
    const status = statuses.shift() ?? 200;
    requests.put({ headers, rawBody: await text(request), status });
    response.writeHead(status).end();
  });
  receiver.listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  t.after(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const webhook = `webhook=http://127.0.0.1:${receiver.address().port}/told,webhook_delay=50ms`;
  const { id, key, secret } = APP;
  const app = `id=${id},key=${key},secret=${secret},subscription_count,${webhook}`;
  const server = await started(t, { apps: [app] });
  const sdk = backend(server, APP);
  /** So many events in the order in which they were told, each webhook seen to be right. */
  const events = async (count) => {
    const all = [];
    while (all.length < count) {
      const request = await requests.next(`a webhook after ${JSON.stringify(all)}`);
      const webhook = sdk.webhook(request);
      assert.ok(webhook.isValid(), request.rawBody);
      assert.ok(Math.abs(webhook.getTime() - Date.now()) < 300_000);
      if (request.status === 200) all.push(...webhook.getEvents());
    }
    return all;
  };
  return { server, sdk, requests, events };
}

/** The events of a channel, without its name. */
const of = (events, channel) => events
  .filter((event) => event.channel === channel)
  .map(({ channel: _, ...event }) => event);

story('from the first subscriber to the last', async (t) => {
  const { server, sdk, events } = await told(t);
  const user = { id: 'ada', info: {} };
  const one = await connected(t, server, { key: APP.key, user });
  await subscribed(one, 'presence-room');
  await subscribed(one, 'open');
  const cached = one.subscribe('cache-empty');
  await inbox(cached, 'pusher:cache_miss').next();
  const room = one.channel('presence-room');
  room.trigger('client-typing', { on: true });
  room.trigger('client-typing', 'text');
  await sdk.trigger('open', 'news', {});
  const socketId = one.connection.socket_id;
  one.disconnect();
  const all = await events(15);
  const said = (data) => ({
    name: 'client_event', event: 'client-typing', data, socket_id: socketId, user_id: 'ada',
  });
  assert.deepEqual(of(all, 'presence-room'), [
    { name: 'channel_occupied' },
    { name: 'member_added', user_id: 'ada' },
    said('{"on":true}'),
    said('text'),
    { name: 'member_removed', user_id: 'ada' },
    { name: 'channel_vacated' },
  ]);
  const counted = (count) => ({ name: 'subscription_count', subscription_count: count });
  const [occupied, vacated] = [{ name: 'channel_occupied' }, { name: 'channel_vacated' }];
  assert.deepEqual(of(all, 'open'), [occupied, counted(1), counted(0), vacated]);
  assert.deepEqual(of(all, 'cache-empty'), [occupied, { name: 'cache_miss' }, counted(1), counted(0), vacated]);
});

story('a webhook that is not taken comes again, and nothing overtakes it', async (t) => {
  const { server, requests, events } = await told(t, [500, 503]);
  const pusher = await connected(t, server, { key: APP.key });
  await subscribed(pusher, 'presence-first');
  await subscribed(pusher, 'presence-second');
  const all = await events(4);
  assert.deepEqual(all.map(({ name, channel }) => [name, channel]), [
    ['channel_occupied', 'presence-first'],
    ['member_added', 'presence-first'],
    ['channel_occupied', 'presence-second'],
    ['member_added', 'presence-second'],
  ]);
  assert.deepEqual(requests.rest(), []);
});

story('what somebody else has signed, or what was changed, is not believed', async (t) => {
  const { server, sdk, requests } = await told(t);
  await is(client(t, server, { key: APP.key }), 'connected');
  await subscribed(client(t, server, { key: APP.key }), 'presence-room');
  const request = await requests.next();
  assert.ok(sdk.webhook(request).isValid());
  const changed = { ...request, rawBody: request.rawBody.replace('occupied', 'vacated') };
  assert.ok(!sdk.webhook(changed).isValid());
  assert.ok(!backend(server, { ...APP, secret: 'another' }).webhook(request).isValid());
});
