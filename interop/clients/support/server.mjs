// Servers for stories. TARGET is the one that all share, with its application 1; HARNESS the program of
// which `serve` starts another, for stories that need options, webhooks, or a server's end.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { soon } from './wait.mjs';

/** The application that there is unless a server is told otherwise. */
export const APP = { id: '1', key: 'app-key', secret: 'app-secret' };
/** Sets channels of one run apart from those of another at the same server. */
const RUN = Date.now().toString(36);

/** A server as clients find it. */
function at(url) {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: Number(port), http: `http://${hostname}:${port}` };
}

/** The server that all stories share. */
export function shared() {
  if (!process.env.TARGET) throw new Error('TARGET is not set: it is the URL of the server, ws://…');
  return at(process.env.TARGET);
}

/** A channel (or user) of one story. */
export function own(name) {
  return `${name}-${RUN}`;
}

/** A server of one story; it ends with it. Applications are as on the command line. */
export async function started(t, { apps = [], heartbeat = '120s/150s' } = {}) {
  const args = ['serve', '--listen', '127.0.0.1:0', '--heartbeat', `pusher=${heartbeat}`, '--log', 'warn'];
  for (const app of apps) args.push('--pusher-app', app);
  const stdio = ['pipe', 'pipe', 'inherit'];
  const child = spawn(process.env.HARNESS ?? 'harness', [...args, '--until-stdin-closes'], { stdio });
  t.after(() => child.kill('SIGKILL'));
  const [line] = await soon(once(createInterface({ input: child.stdout }), 'line'), 'a server');
  const [, url] = /^listening on (ws:\S+)$/.exec(line);
  const exit = once(child, 'exit');
  const end = (signal) => {
    child.kill(signal);
    return soon(exit, 'the end of the server');
  };
  return { ...at(url), end };
}
