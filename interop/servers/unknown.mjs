// A team's own protocol that the harness has never seen; docs/DIALECTS.md says what it is, and leads
// from nothing to a passing conformance run. Who comes in has a token from `POST /login`.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { answer, bodyOf, options, serve } from './endpoint.mjs';

const settings = options('20s/50s', { users: { type: 'string' }, forgetful: { type: 'boolean', default: false } });
if (settings.users === undefined) {
  process.stderr.write('--users FILE is missing\n');
  process.exit(2);
}

/** user → password, from a file with a line of titles. */
const passwords = new Map(
  readFileSync(settings.users, 'utf8')
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => line.split(',')),
);
/** token → user. */
const tokens = new Map();
/** channel → `{ people, head }`: who is in it, and the number of its last post. */
const channels = new Map();

const isNick = (nick) => typeof nick === 'string' && /^\S{1,40}$/.test(nick);
const isChannel = (name) => typeof name === 'string' && /^#[a-z0-9-]{1,80}$/.test(name);
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

function tell(channel, op, d, but) {
  const text = JSON.stringify({ op, d });
  for (const person of channel.people) if (person !== but) person.connection.encoded(text);
}

class Nack extends Error {}

class Person {
  #channels = new Map();
  #beatBack = performance.now();
  #beats = 0;

  constructor(connection, user) {
    this.connection = connection;
    this.nick = user;
    this.#say('hello', { user, beat_ms: settings.interval, patience_ms: settings.timeout });
    connection.beat(settings.interval, (due) => {
      if (due - this.#beatBack > settings.timeout) return false;
      this.#say('beat', { n: (this.#beats += 1) });
      return true;
    });
  }

  #say(op, d, ref) {
    this.connection.send(ref === undefined ? { op, d } : { op, ref, d });
  }

  left() {
    for (const name of [...this.#channels.keys()]) this.#quit(name, 'gone');
  }

  message(json) {
    const request = json === null ? undefined : parsed(json);
    const ref = isObject(request) ? request.ref : undefined;
    try {
      if (!isObject(request)) throw new Nack('not_json');
      const d = this.#asked(request.op, isObject(request.d) ? request.d : {});
      if (d !== null) this.#say('ack', d, ref);
    } catch (error) {
      if (!(error instanceof Nack)) throw error;
      this.#say('nack', { why: error.message }, ref);
    }
  }

  /** Does what is asked, and returns what the acknowledgement says; `null` is none. */
  #asked(op, d) {
    switch (op) {
      case 'call_me':
        return this.#callMe(d.nick);
      case 'enter':
        return this.#enter(d.channel);
      case 'quit':
        this.#channel(d.channel);
        this.#quit(d.channel, 'quit');
        return { left: d.channel };
      case 'post':
        return this.#post(this.#channel(d.channel), d);
      case 'probe':
        return { alive: true };
      case 'beat_back':
        this.#beatBack = performance.now();
        return null;
      default:
        throw new Nack('unknown_op');
    }
  }

  #channel(name) {
    const channel = this.#channels.get(name);
    if (channel === undefined) throw new Nack('not_in_channel');
    return channel;
  }

  #callMe(nick) {
    if (!isNick(nick)) throw new Nack('bad_nick');
    if (this.#channels.size > 0) throw new Nack('already_in_channel');
    this.nick = nick;
    return { you: nick };
  }

  #enter(name) {
    if (!isChannel(name)) throw new Nack('bad_channel');
    if (this.#channels.has(name)) throw new Nack('already_in_channel');
    if (!channels.has(name)) channels.set(name, { people: new Set(), head: 0 });
    const channel = channels.get(name);
    tell(channel, 'came', { channel: name, nick: this.nick });
    channel.people.add(this);
    this.#channels.set(name, channel);
    return { channel: name, head: channel.head, people: [...channel.people].map(({ nick }) => ({ nick })) };
  }

  #quit(name, why) {
    const channel = this.#channels.get(name);
    this.#channels.delete(name);
    channel.people.delete(this);
    if (channel.people.size === 0) channels.delete(name);
    tell(channel, 'went', { channel: name, nick: this.nick, why });
  }

  #post(channel, { channel: name, body }) {
    if (typeof body !== 'string') throw new Nack('bad_body');
    channel.head += 1;
    // With --forgetful, the way that servers are wrong: one receiver, now and then. Not the author: who misses
    // his own words has no echo, and that is another fault.
    const others = [...channel.people].filter((other) => other !== this);
    const forgotten = settings.forgetful && channel.head % 10 === 0 ? others.at(-1) : undefined;
    tell(channel, 'posted', { channel: name, nick: this.nick, body, no: channel.head }, forgotten);
    return { no: channel.head };
  }
}

function http(request, response, url) {
  if (url.pathname !== '/login' || request.method !== 'POST') return false;
  login(request, response).catch(() => request.destroy());
  return true;
}

async function login(request, response) {
  const { user, password } = parsed((await bodyOf(request)) ?? '') ?? {};
  if (typeof password !== 'string' || passwords.get(user) !== password) {
    return answer(response, 401, { error: 'wrong user or password' });
  }
  const token = randomBytes(16).toString('hex');
  tokens.set(token, user);
  answer(response, 200, { user, token });
}

function admit(url, request) {
  if (url.pathname !== '/live') return { status: 404 };
  const [, token] = /^Bearer (\w+)$/.exec(request.headers.authorization ?? '') ?? [];
  const user = tokens.get(token);
  return user === undefined ? { status: 401 } : { user };
}

serve({ admit, open: (connection, { user }) => new Person(connection, user), http }, settings);
