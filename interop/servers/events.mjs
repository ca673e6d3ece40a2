// The `events` dialect: channels that clients subscribe to, and an HTTP route that publishes.
import { randomUUID } from 'node:crypto';
import { answer, bodyOf, options, serve } from './endpoint.mjs';

const settings = options('30s/30s', { publish: { type: 'boolean', default: false } });

/** channel → its subscribers and the time of its last event. */
const channels = new Map();

// What the named channels carry; any other channel takes any object.
const text = (value) => typeof value === 'string';
const number = (value) => typeof value === 'number';
const some = () => true;
const SHAPES = {
  files: { file: text, event: text },
  diagnostics: { diagnostics: Array.isArray },
  'ai-response': { id: text, chunk: text, index: number, finished: (value) => typeof value === 'boolean' },
  search: { query: text, count: number, total: number, results: Array.isArray },
  validation: { result: some },
  git: { type: text, message: text },
};

function subscribe(connection, channel) {
  if (!channels.has(channel)) channels.set(channel, { subscribers: new Set(), last: 0 });
  channels.get(channel).subscribers.add(connection);
}

function unsubscribe(connection, channel) {
  const entry = channels.get(channel);
  entry?.subscribers.delete(connection);
  if (entry?.subscribers.size === 0) channels.delete(channel);
}

/** Sends JSON as it was published, so that numbers beyond a double stay what they are. */
function publish(channel, data) {
  const entry = channels.get(channel);
  if (entry === undefined) return 0;
  // The clock may be set back; the times of a channel do not go back.
  entry.last = Math.max(entry.last, Date.now());
  const timestamp = new Date(entry.last).toISOString();
  const event = `{"type":"event","channel":${JSON.stringify(channel)},"data":${data},"timestamp":"${timestamp}"}`;
  for (const subscriber of entry.subscribers) subscriber.encoded(event);
  return entry.subscribers.size;
}

const isChannel = (channel) => text(channel) && channel !== '' && [...channel].length <= 200;
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

/** The field that makes a payload wrong for its channel, if one does. */
function fault(channel, data) {
  const shape = Object.hasOwn(SHAPES, channel) ? SHAPES[channel] : {};
  return Object.keys(shape).find((field) => !Object.hasOwn(data, field) || !shape[field](data[field]));
}

class Session {
  #connection;
  #mine = new Set();
  #alive = true;

  constructor(connection) {
    this.#connection = connection;
    connection.send({ status: 'connected', connectionId: `conn-${randomUUID()}` });
    // A tick that finds no pong since the last one removes the connection. The first finds none to wait for.
    connection.beat(settings.interval, () => {
      const alive = this.#alive;
      this.#alive = false;
      return alive;
    });
  }

  pong() {
    this.#alive = true;
  }

  left() {
    for (const channel of this.#mine) unsubscribe(this.#connection, channel);
    this.#mine.clear();
  }

  message(json) {
    const request = json === null ? undefined : parsed(json);
    if (request === undefined) return this.#error({}, 'invalid_json', 'this is no JSON text');
    if (!isObject(request)) return this.#error({}, 'unknown_type', 'this is no JSON object');
    const id = Object.hasOwn(request, 'id') ? { id: request.id } : {};
    const { type, channel } = request;
    if (type !== 'subscribe' && type !== 'unsubscribe') {
      return this.#error(id, 'unknown_type', 'the types are subscribe and unsubscribe');
    }
    if (!isChannel(channel)) {
      return this.#error(id, 'invalid_channel', 'a channel is a text of 1 to 200 characters');
    }
    if (type === 'subscribe') {
      this.#mine.add(channel);
      subscribe(this.#connection, channel);
    } else {
      this.#mine.delete(channel);
      unsubscribe(this.#connection, channel);
    }
    this.#connection.send({ status: `${type}d`, channel, ...id });
  }

  #error(id, code, message) {
    this.#connection.send({ status: 'error', code, message, ...id });
  }
}

/** `POST /publish/{channel}`: says whether the request was one of these. */
function http(request, response, url) {
  const [, name] = /^\/publish\/([^/]*)$/.exec(url.pathname) ?? [];
  if (!settings.publish || name === undefined) return false;
  if (request.method !== 'POST') answer(response, 405, { error: 'only POST' }, { Allow: 'POST' });
  else published(request, response, name).catch(() => request.destroy());
  return true;
}

async function published(request, response, name) {
  const body = await bodyOf(request);
  if (body === null) return answer(response, 413, { error: 'too long' });
  if (body === undefined) return answer(response, 400, { error: 'this is not UTF-8' });
  const channel = decoded(name);
  if (!isChannel(channel)) return answer(response, 422, { error: 'no such channel', field: 'channel' });
  const data = parsed(body);
  if (data === undefined) return answer(response, 400, { error: 'this is no JSON text' });
  if (!isObject(data)) return answer(response, 422, { error: 'a payload is a JSON object', field: 'data' });
  const field = fault(channel, data);
  if (field !== undefined) return answer(response, 422, { error: `${field} is missing or wrong`, field });
  answer(response, 202, { subscribers: publish(channel, body) });
}

function decoded(name) {
  try {
    return decodeURIComponent(name);
  } catch {
    return '';
  }
}

const admit = (url) => (url.pathname === '/ws/events' ? {} : { status: 404 });
serve({ admit, open: (connection) => new Session(connection), http }, settings);
