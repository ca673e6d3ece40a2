// How stories wait: for what comes, with a limit that is only ever reached when it does not come.
import { test } from 'node:test';

const LIMIT_MS = 30_000;
const STORY_MS = 180_000;

/** A story: a test that cannot hang. */
export function story(name, tell) {
  test(name, { timeout: STORY_MS }, tell);
}

/** What this promise comes to; a failure that says what was waited for, if it does not come. */
export async function soon(promise, what) {
  const late = new Error(`${what}: not within ${LIMIT_MS} ms`);
  let timer;
  const overdue = new Promise((_, reject) => { timer = setTimeout(reject, LIMIT_MS, late); });
  try {
    return await Promise.race([promise, overdue]);
  } finally {
    clearTimeout(timer);
  }
}

/** What came and was not yet taken, in its order. */
export class Inbox {
  #items = [];
  #waiting = [];

  put(item) {
    if (this.#waiting.length > 0) this.#waiting.shift()(item);
    else this.#items.push(item);
  }

  /** The next one. */
  next(what = 'the next') {
    if (this.#items.length > 0) return this.#items.shift();
    return soon(new Promise((resolve) => this.#waiting.push(resolve)), what);
  }

  /** So many of them. */
  async some(count, what = 'one more') {
    const items = [];
    while (items.length < count) items.push(await this.next(`${what} (${items.length} came)`));
    return items;
  }

  /** All up to the first for which this holds. */
  async until(is, what) {
    const items = [];
    do items.push(await this.next(what)); while (!is(items.at(-1)));
    return items;
  }

  /** All that is there. */
  rest() {
    return this.#items.splice(0);
  }
}

/** An inbox for these events of anything that has pusher-js's `bind`: `[event, data, metadata]`. */
export function inbox(emitter, ...events) {
  const box = new Inbox();
  for (const event of events) {
    emitter.bind(event, (data, metadata) => box.put([event, data, metadata]));
  }
  return box;
}

/** The next time that this happens: its data. To be called before it can have happened. */
export function next(emitter, event) {
  const happened = new Promise((resolve) => {
    const take = (data) => {
      emitter.unbind(event, take);
      resolve(data);
    };
    emitter.bind(event, take);
  });
  return soon(happened, event);
}

/** Waits until it is so. It is looked at whenever something happens here, and now and then. */
export async function comes(is, what) {
  const begun = Date.now();
  while (!(await is())) {
    if (Date.now() - begun > LIMIT_MS) throw new Error(`${what}: not within ${LIMIT_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
