// The clients that people use, set up for a server of ours: pusher-js, and the SDK for Node.
import PusherJs from 'pusher-js';
import Sdk from 'pusher';
import { APP } from './server.mjs';
import { next, soon } from './wait.mjs';

/** What both pusher-js and Echo have to be told to find the server. */
export function whereabouts({ host, port }) {
  return { wsHost: host, wsPort: port, forceTLS: false, enabledTransports: ['ws'] };
}

/** Where a backend signs, and the user that it is asked to sign for. */
function signing(endpoint, user) {
  const params = user && { user_id: user.id, user_info: JSON.stringify(user.info ?? null) };
  return { endpoint, params };
}

/** A pusher-js client; it goes with its story. `user`: `{ id, info }`; all else is pusher-js's. */
export function client(t, server, { key = APP.key, user, ...options } = {}) {
  const pusher = new PusherJs(key, {
    ...whereabouts(server),
    cluster: '',
    channelAuthorization: signing(`${server.http}/pusher/auth`, user),
    userAuthentication: signing(`${server.http}/pusher/user-auth`, user),
    ...options,
  });
  t.after(() => pusher.disconnect());
  return pusher;
}

/** A client that is connected. */
export async function connected(t, server, options) {
  const pusher = client(t, server, options);
  await is(pusher, 'connected');
  return pusher;
}

/** Waits until the client's connection is in this state. */
export async function is(pusher, state) {
  if (pusher.connection.state !== state) await next(pusher.connection, state);
}

/** Subscribes; the channel, when it is so. What came with it is `channel.came`. */
export async function subscribed(pusher, name) {
  const channel = pusher.subscribe(name);
  const outcome = new Promise((resolve, reject) => {
    channel.bind('pusher:subscription_succeeded', resolve);
    channel.bind('pusher:subscription_error', (error) => reject(new Error(JSON.stringify(error))));
  });
  channel.came = await soon(outcome, `the subscription to ${name}`);
  return channel;
}

/** Signs the client in; what the server knows of its user. */
export async function signedIn(pusher) {
  pusher.signin();
  await soon(pusher.user.signinDonePromise, 'the sign-in');
  if (!pusher.user.user_data) throw new Error('not signed in');
  return pusher.user.user_data;
}

/**
 * What a connected client does when its connection ends: it comes back `at once`, `after a second` or
 * `never`. Told by the order in which its own timers and one of half a second fire, not by a clock.
 */
export function comesBack(pusher) {
  const { connection } = pusher;
  const outcome = new Promise((resolve) => {
    let isLate = false;
    connection.bind('connecting_in', () => setTimeout(() => { isLate = true; }, 500));
    connection.bind('connecting', () => resolve(isLate ? 'after a second' : 'at once'));
    connection.bind('disconnected', () => resolve('never'));
  });
  return soon(outcome, 'what the client does');
}

/** The code of an error: one that the server says in a frame, or one that it closes with. */
export function code(error) {
  return (error.error ?? error).data.code;
}

/** A round trip: whatever the server had sent before it has come when this is over. */
export async function roundTrip(pusher) {
  const pong = new Promise((resolve) => {
    const take = ({ event }) => {
      if (event !== 'pusher:pong') return;
      pusher.connection.unbind('message', take);
      resolve();
    };
    pusher.connection.bind('message', take);
  });
  pusher.send_event('pusher:ping', {});
  await soon(pong, 'a pong');
}

/** A backend, with its SDK. */
export function backend(server, { id, key, secret } = APP, options = {}) {
  const { host, port } = server;
  return new Sdk({ appId: id, key, secret, host, port: String(port), useTLS: false, ...options });
}

/** The members of a presence channel by id, as a client sees them. */
export function members(channel) {
  const seen = {};
  channel.members.each(({ id, info }) => { seen[id] = info; });
  return seen;
}
