// One pusher-js client among thousands of the harness's: it hears everything in its room, in order.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { connected, subscribed } from './support/clients.mjs';
import { own, shared } from './support/server.mjs';
import { comes } from './support/wait.mjs';

const ROOMS = 50;
const CROWD = Number(process.env.CROWD ?? 5000);
// Whatever the machine: the run has limits of its own.
const LIMIT_MS = 300_000;
// What the harness writes at the head of each text: which speaker, its how manieth message, and the room's.
const STAMP = /^~H\d+\.(\d+)\.(\d+)\.(\d+)\.\d+~/;

test('one client of pusher-js among thousands hears its whole room in order', { timeout: LIMIT_MS }, async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'crowd-'));
  t.after(() => rm(directory, { recursive: true }));
  // The shipped scenario, but for the names of its rooms, of which this story has to know one, and for its
  // limits of time: how quick a busy machine is, is not the story.
  const shipped = await readFile(new URL('../../scenarios/broadcast.yaml', import.meta.url), 'utf8');
  const name = own('crowd');
  const [untimed, limits] = shipped.split('\nthresholds:');
  const scenario = untimed.replace('room-$shard(rooms)-$run', `room-$shard(rooms)-${name}`);
  assert.ok(limits && scenario !== untimed, 'the scenario is another than it was');
  await writeFile(join(directory, 'broadcast.yaml'), scenario);

  const channel = await subscribed(await connected(t, shared()), `private-room-0-${name}`);
  const heard = [];
  channel.bind('client-message', ({ text }) => heard.push(STAMP.exec(text).slice(1).map(Number)));
  const report = join(directory, 'report');
  const words = ['run', join(directory, 'broadcast.yaml'), '--dialect', 'pusher', '--target', process.env.TARGET];
  const run = spawn(process.env.HARNESS, [...words, '--clients', `crowd=${CROWD}`, '--quiet', '--report', report],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => run.kill());
  let said = '';
  run.stdout.on('data', (data) => { said += data; });
  const [code] = await once(run, 'exit');
  const { deliveries } = JSON.parse(await readFile(join(report, 'run.json'), 'utf8'));
  assert.deepEqual([code, deliveries.lost], [0, 0], said);

  // Speakers take turns, so each room was told as much as any other, each time all members but one.
  const each = deliveries.owed / ROOMS / (CROWD / ROOMS - 1);
  await comes(() => heard.length >= each, `${each} messages`);
  assert.deepEqual(heard.map(([, , number]) => number).sort((a, b) => a - b), [...Array(each).keys()]);
  const last = new Map();
  for (const [speaker, number] of heard) {
    assert.ok(number > (last.get(speaker) ?? -1), `speaker ${speaker}: ${number} after ${last.get(speaker)}`);
    last.set(speaker, number);
  }
});
