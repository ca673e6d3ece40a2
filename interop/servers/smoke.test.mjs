// A short conversation with each server. What they owe in full is for `harness conform` to judge.
// `node --test` runs it; PYTHON names the Python that has the packages of requirements.txt.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { WebSocket } from 'ws';

const here = fileURLToPath(new URL('.', import.meta.url));
const python = process.env.PYTHON ?? 'python3';
const WAIT_MS = 10000;

/** Starts a server for one test; it ends with it, and must have ended well. */
async function started(t, program, args) {
  const child = spawn(program, args, { cwd: here, stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout });
  const [line] = await once(lines, 'line', { signal: AbortSignal.timeout(WAIT_MS) });
  const [, url] = /^listening on (ws:\/\/127\.0\.0\.1:\d+)$/.exec(line);
  return { child, url };
}

/** A client that sends JSON and takes one frame after the other. */
async function opened(url, headers = {}) {
  const ws = new WebSocket(url, { headers });
  const waiting = [];
  const inbox = [];
  const put = (item) => (waiting.length > 0 ? waiting.shift()(item) : inbox.push(item));
  ws.on('message', (data) => put(JSON.parse(data)));
  ws.on('close', (code) => put({ closed: code }));
  const arrived = () => (inbox.length > 0 ? inbox.shift() : new Promise((resolve) => waiting.push(resolve)));
  const next = async () => {
    const late = AbortSignal.timeout(WAIT_MS);
    const overdue = new Promise((_, reject) => late.addEventListener('abort', () => reject(late.reason)));
    return Promise.race([arrived(), overdue]);
  };
  await once(ws, 'open');
  return { ws, next, say: (value) => ws.send(JSON.stringify(value)) };
}

/** The two ways to end a server: it says goodbye with 1001 and exits with 0. */
async function ends({ child }, client, how) {
  const exit = once(child, 'exit', { signal: AbortSignal.timeout(WAIT_MS) });
  if (how === 'SIGTERM') child.kill(how);
  else child.stdin.end();
  assert.deepEqual(await client.next(), { closed: 1001 });
  assert.deepEqual(await exit, [0, null]);
}

async function refused(url, status) {
  const ws = new WebSocket(url);
  const [error] = await once(ws, 'error');
  assert.match(error.message, new RegExp(`${status}$`));
}

test('events', async (t) => {
  const server = await started(t, 'node', ['events.mjs', '--publish']);
  await refused(`${server.url}/nowhere`, 404);
  const client = await opened(`${server.url}/ws/events`);
  assert.equal((await client.next()).status, 'connected');
  client.say({ type: 'subscribe', channel: 'files', id: 7 });
  assert.deepEqual(await client.next(), { status: 'subscribed', channel: 'files', id: 7 });
  const data = { file: 'a.txt', event: 'change' };
  const route = `${server.url.replace('ws', 'http')}/publish/files`;
  const response = await fetch(route, { method: 'POST', body: JSON.stringify(data) });
  assert.deepEqual([response.status, await response.json()], [202, { subscribers: 1 }]);
  assert.deepEqual((await client.next()).data, data);
  await ends(server, client, 'SIGTERM');
});

test('rooms', async (t) => {
  const server = await started(t, 'node', ['rooms.mjs']);
  const client = await opened(`${server.url}/ws/rooms`);
  client.say({ JoinRoom: 'lobby' });
  const { room_id: room, client_id: id } = (await client.next()).RoomJoined;
  assert.equal(room, 'lobby');
  client.say({ UpdateStorage: { Insert: { key: 'k', value: [1] } } });
  const operations = [{ Insert: { key: 'k', value: [1] } }];
  assert.deepEqual(await client.next(), { StorageUpdated: { version: 1, operations } });
  client.say('LeaveRoom');
  assert.deepEqual(await client.next(), { RoomLeft: { room_id: 'lobby', client_id: id } });
  await ends(server, client, 'end of input');
});

test('chat', async (t) => {
  const server = await started(t, python, ['chat.py']);
  await refused(`${server.url}/nowhere`, 404);
  const [ada, bob] = [await opened(`${server.url}/ws/chat`), await opened(`${server.url}/ws/chat`)];
  for (const [client, username] of [[ada, 'Ada'], [bob, 'Bob']]) {
    assert.equal((await client.next()).type, 'connected');
    client.say({ type: 'set_username', username });
    assert.deepEqual(await client.next(), { type: 'username_set', username });
  }
  ada.say({ type: 'create_room' });
  const { room_code: code } = await ada.next();
  bob.say({ type: 'join_room', room_code: ` ${code.toLowerCase()} ` });
  assert.deepEqual(await bob.next(), { type: 'room_joined', room_code: code, partner: 'Ada' });
  assert.deepEqual(await ada.next(), { type: 'partner_joined', username: 'Bob' });
  bob.say({ type: 'chat', content: 'hello' });
  assert.deepEqual(await ada.next(), { type: 'chat', from: 'Bob', content: 'hello' });
  ada.ws.terminate();
  assert.deepEqual(await bob.next(), { type: 'partner_left' });
  await ends(server, bob, 'SIGTERM');
});

test('native', async (t) => {
  const server = await started(t, python, ['native.py', '--heartbeat', '250ms/700ms']);
  const client = await opened(`${server.url}/ws`);
  const welcome = await client.next();
  assert.deepEqual(welcome.heartbeat, { interval_ms: 250, timeout_ms: 700 });
  client.say({ type: 'join', room: 'lobby', id: 1 });
  assert.equal((await client.next()).re, 1);
  client.say({ type: 'chat', room: 'lobby', text: 'hello', id: 2 });
  assert.equal((await client.next()).text, 'hello');
  assert.deepEqual(await client.next(), { type: 'ok', re: 2, room: 'lobby', seq: 1 });
  await ends(server, client, 'end of input');
});

test('a protocol that nobody knows', async (t) => {
  const server = await started(t, 'node', ['unknown.mjs', '--users', '../example/users.csv']);
  await refused(`${server.url}/live`, 401);
  const body = JSON.stringify({ user: 'keeper-001', password: 'spring-tide-001' });
  const response = await fetch(`${server.url.replace('ws', 'http')}/login`, { method: 'POST', body });
  const { token } = await response.json();
  const client = await opened(`${server.url}/live`, { Authorization: `Bearer ${token}` });
  assert.equal((await client.next()).d.user, 'keeper-001');
  client.say({ op: 'call_me', ref: '1', d: { nick: 'ada' } });
  assert.deepEqual(await client.next(), { op: 'ack', ref: '1', d: { you: 'ada' } });
  client.say({ op: 'enter', ref: '2', d: { channel: '#tea' } });
  const d = { channel: '#tea', head: 0, people: [{ nick: 'ada' }] };
  assert.deepEqual(await client.next(), { op: 'ack', ref: '2', d });
  await ends(server, client, 'SIGTERM');
});
