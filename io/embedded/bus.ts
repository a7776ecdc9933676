import { IO_LIMITS } from "../limits.ts";
import { SILENT, type Logger } from "../logging.ts";
import type { Bus } from "../ports.ts";
import { assertSubject, subjectMatcher } from "../subject.ts";

interface Subscriber {
  readonly matches: (subject: string) => boolean;
  readonly receive: (subject: string, bytes: Uint8Array) => void | Promise<void>;
  readonly queue: { subject: string; bytes: Uint8Array }[];
  draining: boolean;
  live: boolean;
}

/**
 * The bus of one process. Like a network: messages are copied, arrive in a later turn of the event loop and in order, one at a
 * time per subscriber (a promise that `receive` returns is awaited); nobody listening means gone.
 */
export function createBus(logger: Logger = SILENT): Bus & { readonly failures: () => number; readonly dropped: () => number } {
  const subscribers = new Set<Subscriber>();
  let failures = 0;
  let dropped = 0;

  async function drain(subscriber: Subscriber): Promise<void> {
    while (subscriber.live) {
      const next = subscriber.queue.shift();
      if (next === undefined) break;
      try {
        await subscriber.receive(next.subject, next.bytes);
      } catch (error) {
        failures += 1;
        logger.error({ subject: next.subject, error: String(error) }, "bus subscriber failed");
      }
    }
    subscriber.draining = false;
  }

  return {
    failures: () => failures,
    dropped: () => dropped,
    publish(subject, bytes) {
      assertSubject(subject);
      for (const subscriber of subscribers) {
        if (!subscriber.matches(subject)) continue;
        subscriber.queue.push({ subject, bytes: new Uint8Array(bytes) });
        if (subscriber.queue.length > IO_LIMITS.busQueueMax) {
          subscriber.queue.shift();
          dropped += 1;
        }
        if (!subscriber.draining) {
          subscriber.draining = true;
          setImmediate(() => void drain(subscriber));
        }
      }
    },
    subscribe(filter, receive) {
      const subscriber: Subscriber = { matches: subjectMatcher(filter), receive, queue: [], draining: false, live: true };
      subscribers.add(subscriber);
      return () => {
        subscriber.live = false;
        subscriber.queue.length = 0;
        subscribers.delete(subscriber);
      };
    },
  };
}
