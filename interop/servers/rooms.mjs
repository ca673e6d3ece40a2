// The `rooms` dialect: rooms with presence and versioned storage, in externally tagged JSON.
import { randomUUID } from 'node:crypto';
import { options, serve } from './endpoint.mjs';

const settings = options('30s/120s');
const STATUSES = ['Active', 'Idle', 'Away'];
const STORAGE_BYTES = 1048576; // of one room, keys and values as JSON
const PRESENCE_BYTES = 4096; // of one member, as JSON
const DEPTH = 64; // of a message
const TAGS = ['JoinRoom', 'LeaveRoom', 'UpdatePresence', 'UpdateStorage', 'Pong'];

/** room id → `{ members, presences, storage, bytes, version }`; there while it has members. */
const rooms = new Map();

function roomOf(id) {
  if (!rooms.has(id)) {
    rooms.set(id, { members: new Map(), presences: new Map(), storage: new Map(), bytes: 0, version: 0 });
  }
  return rooms.get(id);
}

function broadcast(room, value) {
  const text = JSON.stringify(value);
  for (const connection of room.members.values()) connection.encoded(text);
  return text;
}

const isRoom = (id) => typeof id === 'string' && /^[A-Za-z0-9_.:-]{1,64}$/.test(id);
const isObject = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);

function isShallow(value, depth = DEPTH) {
  if (typeof value !== 'object' || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}

/** What is wrong with a change of presence, if something is. */
function presenceFault(update) {
  if (!isObject(update)) return 'a presence is a JSON object';
  const { status = null, cursor_position: cursor = null } = update;
  if (status !== null && !STATUSES.includes(status)) return `a status is one of ${STATUSES.join(', ')}`;
  const isPlace = isObject(cursor) && [cursor.x, cursor.y].every((value) => typeof value === 'number');
  return cursor === null || isPlace ? null : 'a cursor position is {x, y}, both numbers';
}

class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

class Session {
  #connection;
  #id = randomUUID();
  #roomId = null;
  #lastPong = performance.now();

  constructor(connection, room) {
    this.#connection = connection;
    if (room !== undefined) this.#join(room);
    connection.beat(settings.interval, (due) => {
      if (due - this.#lastPong > settings.timeout) return false;
      connection.send('Ping');
      return true;
    });
  }

  pong() {
    this.#lastPong = performance.now();
  }

  /** The connection is gone: its room is told. */
  left() {
    if (this.#roomId !== null) this.#leave();
  }

  message(json) {
    try {
      this.#dispatch(...this.#read(json));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.#connection.send({ Error: { code: error.code, message: error.message } });
    }
  }

  /** A message's tag and content. */
  #read(json) {
    let message;
    try {
      message = JSON.parse(json ?? '');
    } catch {
      throw new Refusal('invalid_json', 'this is no JSON text');
    }
    if (!isShallow(message)) throw new Refusal('invalid_json', `this is nested deeper than ${DEPTH} levels`);
    if (typeof message === 'string') return [message];
    const known = isObject(message) ? TAGS.filter((tag) => Object.hasOwn(message, tag)) : [];
    if (known.length !== 1) throw new Refusal('unknown_message', `a message has one of ${TAGS.join(', ')}`);
    return [known[0], message[known[0]]];
  }

  #dispatch(tag, content) {
    const bare = content === undefined || content === null;
    if (tag === 'Pong' && bare) this.pong();
    else if (tag === 'LeaveRoom' && bare) this.#leave();
    else if (tag === 'JoinRoom' && content !== undefined) this.#join(content);
    else if (tag === 'UpdatePresence' && content !== undefined) this.#presence(content);
    else if (tag === 'UpdateStorage' && content !== undefined) this.#store(content);
    else throw new Refusal('unknown_message', 'this is no message of this protocol');
  }

  #room() {
    if (this.#roomId === null) throw new Refusal('client_not_found', 'you are in no room');
    return rooms.get(this.#roomId);
  }

  #join(id) {
    if (!isRoom(id)) throw new Refusal('invalid_room', 'a room is 1 to 64 of A-Z a-z 0-9 _ . : -');
    if (this.#roomId !== null) throw new Refusal('already_in_room', `you are in ${this.#roomId}`);
    const room = roomOf(id);
    this.#roomId = id;
    room.members.set(this.#id, this.#connection);
    broadcast(room, { RoomJoined: { room_id: id, client_id: this.#id } });
    for (const { event } of room.presences.values()) this.#connection.encoded(event);
    if (room.version === 0) return;
    const operations = [...room.storage].map(([key, { value }]) => ({ Insert: { key, value } }));
    this.#connection.send({ StorageUpdated: { version: room.version, operations } });
  }

  #leave() {
    const room = this.#room();
    broadcast(room, { RoomLeft: { room_id: this.#roomId, client_id: this.#id } });
    room.members.delete(this.#id);
    room.presences.delete(this.#id);
    if (room.members.size === 0) rooms.delete(this.#roomId);
    this.#roomId = null;
  }

  #presence(update) {
    const room = this.#room();
    const wrong = presenceFault(update);
    if (wrong !== null) throw new Refusal('presence_error', wrong);
    const before = room.presences.get(this.#id)?.presence;
    const presence = { cursor_position: null, status: null, ...before, ...update };
    for (const field of Object.keys(presence)) {
      const shown = field === 'cursor_position' || field === 'status';
      if (presence[field] === null && !shown) delete presence[field];
    }
    if (Buffer.byteLength(JSON.stringify(presence)) > PRESENCE_BYTES) {
      throw new Refusal('presence_error', `a presence has at most ${PRESENCE_BYTES} bytes`);
    }
    const timestamp = new Date().toISOString();
    const event = broadcast(room, { PresenceUpdated: { client_id: this.#id, timestamp, presence } });
    room.presences.set(this.#id, { presence, event });
  }

  #store(operation) {
    const room = this.#room();
    const { Insert: insert, Remove: remove } = isObject(operation) ? operation : {};
    if ((insert === undefined) === (remove === undefined)) {
      throw new Refusal('storage_error', 'an operation is an Insert or a Remove');
    }
    const key = (insert ?? remove)?.key;
    if (typeof key !== 'string') throw new Refusal('storage_error', 'a key is a text');
    const before = room.storage.get(key);
    if (remove !== undefined) {
      if (before === undefined) throw new Refusal('storage_error', `there is no ${JSON.stringify(key)}`);
      room.storage.delete(key);
      room.bytes -= before.bytes;
      return this.#stored(room, { Remove: { key } });
    }
    const { value } = insert;
    if (value === undefined) throw new Refusal('storage_error', 'an Insert has a value');
    const bytes = Buffer.byteLength(JSON.stringify([key, value]));
    if (room.bytes - (before?.bytes ?? 0) + bytes > STORAGE_BYTES) {
      throw new Refusal('storage_error', `a room keeps at most ${STORAGE_BYTES} bytes`);
    }
    room.storage.set(key, { value, bytes });
    room.bytes += bytes - (before?.bytes ?? 0);
    this.#stored(room, { Insert: { key, value } });
  }

  #stored(room, operation) {
    room.version += 1;
    broadcast(room, { StorageUpdated: { version: room.version, operations: [operation] } });
  }
}

function admit(url) {
  if (url.pathname === '/ws/rooms') return {};
  const [, room] = /^\/ws\/rooms\/([^/]+)$/.exec(url.pathname) ?? [];
  return isRoom(room) ? { room } : { status: 404 };
}

serve({ admit, open: (connection, { room }) => new Session(connection, room) }, settings);
