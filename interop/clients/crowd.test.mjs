// pusher-js in the midst of a crowd that the harness drives: it hears everything, once, in order.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connected, roundTrip, subscribed } from './support/clients.mjs';
import { own, shared } from './support/server.mjs';
import { Inbox, story } from './support/wait.mjs';

/** How many the crowd is: as it is said, or as many as in the scenario. */
const CLIENTS = Number(process.env.CROWD ?? 5000);
const ROOMS = Math.max(1, Math.round(CLIENTS / 100));
/** The mark in a text: the run, who says it, its number among the speaker's, its number in the room. */
const MARK = /^~H\d+\.(?<voice>\d+)\.(?<number>\d+)\.\d+\.\d+~/;

/** A run of the scenario at the shared server, in rooms of this name and number; its report. */
async function broadcast(t, room) {
  const directory = await mkdtemp(join(tmpdir(), 'crowd-'));
  t.after(() => rm(directory, { recursive: true }));
  const report = join(directory, 'report');
  const options = {
    dialect: 'pusher', target: process.env.TARGET, clients: `crowd=${CLIENTS}`, report,
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const vars = [`rooms=${ROOMS}`, `room=${room}-$shard(rooms)`].flatMap((it) => ['--var', it]);
  const child = spawn(process.env.HARNESS ?? 'harness', ['run', 'broadcast', '--quiet', ...args, ...vars], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  await once(child, 'exit');
  // Its verdict is also of how fast all was, which is not asked here.
  return JSON.parse(await readFile(join(report, 'run.json')));
}

/** A client that hears these rooms: `[room, text]`. */
async function listener(t, rooms) {
  const pusher = await connected(t, shared());
  const box = Object.assign(new Inbox(), { pusher });
  for (const room of rooms) {
    const channel = await subscribed(pusher, `private-${room}`);
    channel.bind('client-message', ({ text }) => box.put([room, text]));
  }
  return box;
}

story('in a crowd, a client hears every message once, in the order of all', async (t) => {
  const room = own('crowd');
  const rooms = Array.from({ length: ROOMS }, (_, n) => `${room}-${n}`);
  const everywhere = await listener(t, rooms);
  const inOne = await listener(t, rooms.slice(0, 1));
  const { sent, deliveries, clients, error } = await broadcast(t, room);
  // Whatever there was to hear has been sent before the answer to this.
  for (const { pusher } of [everywhere, inOne]) await roundTrip(pusher);
  const [all, some] = [everywhere.rest(), inOne.rest()];

  assert.deepEqual([error, clients], [null, { planned: CLIENTS, connected_max: CLIENTS, failed: 0 }]);
  const { owed, received, lost, duplicated } = deliveries;
  assert.deepEqual([received, lost, duplicated], [owed, 0, 0]);
  assert.ok(sent > 0);
  assert.equal(all.length, sent, 'what was said in all rooms');
  assert.equal(new Set(all.map(([, text]) => text)).size, sent, 'each once');
  // In each room the others were owed what this client has heard there.
  const size = (n) => Math.ceil((CLIENTS - n) / ROOMS);
  const heard = rooms.map((name) => all.filter(([where]) => where === name).length);
  assert.equal(heard.reduce((sum, count, n) => sum + count * (size(n) - 1), 0), owed);
  // Everybody's messages in their order, which is without gaps; and both in the same order of all.
  const next = new Map();
  for (const [, text] of all) {
    const { voice, number } = MARK.exec(text).groups;
    assert.equal(Number(number), next.get(voice) ?? 0, `of ${voice}`);
    next.set(voice, Number(number) + 1);
  }
  assert.ok(some.length > 0);
  assert.deepEqual(some, all.filter(([where]) => where === rooms[0]));
});
