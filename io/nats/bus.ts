import { IO_LIMITS } from "../limits.ts";
import type { Bus } from "../ports.ts";
import { assertSubject, subjectMatcher } from "../subject.ts";
import type { Link } from "./link.ts";

/**
 * The bus over core NATS. A subscriber gets one message at a time; those that wait for a slow one are bounded, the oldest leave.
 * So the connection itself is never slow, and the server never cuts it off for that.
 */
export function createBus(link: Link): Bus {
  const prefix = `${link.cluster}.bus.`;
  return {
    publish(subject, bytes) {
      assertSubject(subject);
      link.publish(prefix + subject, bytes);
    },
    subscribe(filter, receive) {
      subjectMatcher(filter);
      const queue: { readonly subject: string; readonly bytes: Uint8Array }[] = [];
      let isDraining = false;
      let isLive = true;
      const drain = async (): Promise<void> => {
        for (let next = queue.shift(); next !== undefined && isLive; next = queue.shift()) {
          try {
            await receive(next.subject, next.bytes);
          } catch (error) {
            link.counters.failures += 1;
            link.logger.error({ subject: next.subject, error: String(error) }, "bus subscriber failed");
          }
        }
        isDraining = false;
      };
      const stop = link.subscribe(prefix + filter, (subject, bytes) => {
        queue.push({ subject: subject.slice(prefix.length), bytes: new Uint8Array(bytes) });
        if (queue.length > IO_LIMITS.busQueueMax) {
          queue.shift();
          link.counters.busDropped += 1;
        }
        if (isDraining) return;
        isDraining = true;
        void drain();
      });
      return () => {
        isLive = false;
        queue.length = 0;
        stop();
      };
    },
  };
}
