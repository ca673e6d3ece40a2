// A backend that is told what happens: it takes webhooks, and judges them with the SDK's own eyes.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { Inbox } from './wait.mjs';

/**
 * A receiver of webhooks for one story: `next()` is a request, `{ path, headers, rawBody }`, as the SDK's
 * `webhook` takes it. Each is answered with the next of `answers`, or else with 200.
 */
export async function receiver(t, answers = []) {
  const requests = new Inbox();
  const listener = createServer(async (request, response) => {
    const chunks = await request.toArray();
    response.statusCode = answers.shift() ?? 200;
    response.end();
    const { method, url: path, headers } = request;
    requests.put({ method, path, headers, rawBody: Buffer.concat(chunks).toString() });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  t.after(() => {
    listener.close();
    listener.closeAllConnections();
  });
  const { port } = listener.address();
  return Object.assign(requests, { url: `http://127.0.0.1:${port}/hook?of=story` });
}

/** The events that a receiver is told, one after the other; each request has to be valid. */
export class Told {
  #requests;
  #sdk;
  #events = [];

  constructor(requests, sdk) {
    this.#requests = requests;
    this.#sdk = sdk;
  }

  /** The next event. */
  async next() {
    while (this.#events.length === 0) {
      const request = await this.#requests.next('a webhook');
      const webhook = this.#sdk.webhook(request);
      if (!webhook.isValid()) throw new Error(`no valid webhook: ${JSON.stringify(request)}`);
      this.#events.push(...webhook.getEvents());
    }
    return this.#events.shift();
  }

  /** So many events. */
  async some(count) {
    const events = [];
    while (events.length < count) events.push(await this.next());
    return events;
  }
}
