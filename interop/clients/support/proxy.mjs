// A network that can fail: clients reach a server through it, and it can be cut, turned to another server
// and made to swallow what clients say.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A proxy before this server, with the server's own properties but for its place. */
export async function proxied(t, server) {
  let target = server;
  let accepted = 0;
  const links = new Set();
  const listener = createServer((near) => {
    accepted += 1;
    const link = { near, isDeaf: false };
    links.add(link);
    near.on('error', () => near.destroy());
    near.on('close', () => links.delete(link));
    join(link, target).catch(() => near.destroy());
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const cut = () => links.forEach(({ near }) => near.destroy());
  t.after(() => {
    listener.close();
    cut();
  });
  const { port } = listener.address();
  return {
    host: '127.0.0.1',
    port,
    http: `http://127.0.0.1:${port}`,
    /** How many connections there were. */
    accepted: () => accepted,
    /** Cuts every connection. */
    cut,
    /** Of the connections that there are, nothing that clients say reaches the server any more. */
    deafen: () => links.forEach((link) => { link.isDeaf = true; }),
    /** New connections go to the server that this promises; they wait until it is there. */
    turnTo: (promise) => {
      target = promise;
      // Whoever connects is told of a failure; if nobody does, so is whoever awaits the server.
      target.catch(() => {});
    },
  };
}

async function join(link, target) {
  const { near } = link;
  const { host, port } = await target;
  if (near.destroyed) return;
  const far = connect(port, host);
  far.on('error', () => far.destroy());
  near.on('close', () => far.destroy());
  near.on('end', () => far.end());
  near.on('data', (data) => { if (!link.isDeaf) far.write(data); });
  far.on('close', () => near.end());
  far.pipe(near);
}
