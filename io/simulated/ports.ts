import { PopulaceError } from "@populace/domain";
import { IO_LIMITS } from "../limits.ts";
import type { LogEntry, Ports, RegistryEntry, RegistryResult, Stop } from "../ports.ts";
import { assertSubject, subjectMatcher } from "../subject.ts";
import { copyOf } from "./copy.ts";
import { checkedBlob, type SimulatedService } from "./service.ts";
import type { SimulatedNetwork } from "./network.ts";
import type { SimulatedLife, SimulatedWorld } from "./world.ts";

/** The service's name on the network. */
export const SERVICE = "service";
/** After this the caller is told UNAVAILABLE; what it asked for may have happened, or happen yet. */
export const REQUEST_TIMEOUT_MS = 1000;
/** How often a follower that may have missed something looks again. */
const CATCH_UP_MS = 500;

interface Subscription {
  readonly life: SimulatedLife;
  readonly matches: (subject: string) => boolean;
  readonly receive: (subject: string, bytes: Uint8Array) => void | Promise<void>;
  /** Under way, oldest first. */
  readonly pending: Set<Underway>;
  last: Promise<void>;
  isLive: boolean;
}

/** A bus message on its way to a process, and those of its subscriptions that dropped it. */
interface Underway {
  readonly droppedBy: Subscription[];
}

/** What all processes of a world share: the bus and the service, on one network. */
export interface SimulatedHub {
  portsOf(life: SimulatedLife): Ports;
  /** Hears every bus message as it leaves its sender, whatever becomes of it. */
  onPublish(listen: (from: string, subject: string, bytes: Uint8Array) => void): void;
  /** Exceptions and rejections of subscribers, and messages dropped beyond the bound. */
  counts(): { readonly failures: number; readonly dropped: number; readonly unanswered: number };
}

/**
 * The ports of lives over a simulated service: requests travel there and back on the network and are refused as UNAVAILABLE when no answer came in
 * time, though they may have been carried out; bus messages pass through the service's host too, and are lost while it is down. What a process sends is
 * copied as it leaves; all who receive it are given the same array, which none of them may write to.
 */
export function simulatedHub(world: SimulatedWorld, network: SimulatedNetwork, service: SimulatedService): SimulatedHub {
  const subscriptions = new Set<Subscription>();
  /** Who hears a subject, by process. A list is never written to again: messages under way have it. */
  const hearers = new Map<string, Map<SimulatedLife, readonly Subscription[]>>();
  const wakeFollowers = new Set<(subject: string) => void>(), wakeWatchers = new Set<(key: string) => void>();
  const listeners: ((from: string, subject: string, bytes: Uint8Array) => void)[] = [];
  let failures = 0, dropped = 0, unanswered = 0;
  service.onEvent((event) => {
    if (event.kind === "entry") for (const wake of wakeFollowers) wake(event.entry.subject);
  });

  /** Told in order one at a time; a failure is counted. */
  async function attended(receive: () => void | Promise<void>): Promise<void> {
    try {
      await receive();
    } catch {
      failures += 1;
    }
  }

  function portsOf(life: SimulatedLife): Ports {
    function ask<T>(perform: () => T): Promise<T> {
      return new Promise((resolve, reject) => {
        const askedMs = world.nowMs();
        let isSettled = false;
        const settle = (action: () => void): void => life.within(() => {
          if (isSettled) return;
          isSettled = true;
          action();
        });
        const noAnswer = (): void => void world.after(REQUEST_TIMEOUT_MS - (world.nowMs() - askedMs), () => settle(() => {
          unanswered += 1;
          reject(new PopulaceError("UNAVAILABLE", `no answer of the service within ${REQUEST_TIMEOUT_MS} ms; try again`, {}));
        }));
        life.step(() => network.send(life.name, SERVICE, () => {
          if (!service.isUp) return noAnswer();
          let answer: () => void;
          try {
            const result = perform();
            answer = () => resolve(result);
          } catch (error) {
            answer = () => reject(error as Error);
          }
          network.send(SERVICE, life.name, () => {
            if (world.nowMs() - askedMs > REQUEST_TIMEOUT_MS) noAnswer();
            else settle(answer);
          }, noAnswer);
        }, noAnswer));
      });
    }

    /** By key and revision (null = it was not there): the life of the registry that said so last. */
    const learnt = new Map<string, number>();

    /** What the service answers about a key, and the life of the registry that the answer tells of. */
    async function learning<T>(key: string, perform: () => T, revisionIn: (answer: T) => number | null): Promise<T> {
      const { answer, registryLife } = await ask(() => ({ answer: perform(), registryLife: service.registryLife }));
      learnt.set(`${key} ${revisionIn(answer)}`, registryLife);
      return answer;
    }

    function change(key: string, bytes: Uint8Array | null, expected: number | null): Promise<RegistryResult> {
      const own = bytes === null ? null : copyOf(bytes), learntIn = learnt.get(`${key} ${expected}`) ?? service.registryLife;
      return learning(key, (): RegistryResult => {
        const result = service.change(life.name, key, own, expected, learntIn);
        if (result.ok) for (const wake of wakeWatchers) wake(key);
        return result;
      }, (result) => (result.ok ? result.revision : result.current?.revision ?? null));
    }

    return {
      clock: life.clock,
      bus: {
        publish(subject, bytes) {
          assertSubject(subject);
          const own = copyOf(bytes);
          life.step(() => {
            for (const listen of listeners) listen(life.name, subject, own);
            for (const [hearer, heard] of hearersOf(subject)) carry(life.name, hearer, heard, subject, own);
          });
        },
        subscribe(filter, receive) {
          const subscription: Subscription = { life, matches: subjectMatcher(filter), receive, pending: new Set(), last: Promise.resolve(), isLive: true };
          subscriptions.add(subscription);
          for (const [subject, heard] of hearers) if (subscription.matches(subject)) heard.set(life, [...heard.get(life) ?? [], subscription]);
          return () => {
            subscription.isLive = false;
            subscriptions.delete(subscription);
            forgetHearers(life);
          };
        },
      },
      log: {
        append: (subject, bytes, expectedLast) => {
          const own = copyOf(bytes);
          return ask(() => { assertSubject(subject); return service.append(life.name, subject, own, expectedLast); });
        },
        fill: (subject, bytes) => {
          const own = copyOf(bytes);
          return ask(() => {
            assertSubject(subject);
            return service.fill(life.name, subject, own);
          });
        },
        last: (subject) => ask(() => service.last(subject)),
        read: (filter, options = {}) => ask(() => service.read(filter, options.after ?? 0, options.limit ?? IO_LIMITS.readEntriesMax)),
        consume: (cursor, filter, limit = IO_LIMITS.readEntriesMax) => ask(() => service.consume(cursor, filter, limit)),
        acknowledge: (cursor, sequence) => ask(() => service.acknowledge(cursor, sequence)),
        follow,
        purge: (filter, below) => ask(() => service.purge(filter, below)),
      },
      registry: {
        get: (key) => learning(key, () => service.get(key), (entry) => entry?.revision ?? null),
        create: (key, bytes) => change(key, bytes, null),
        update: change,
        remove: (key, revision) => change(key, null, revision),
        list: (filter) => ask(() => service.list(filter)),
        watch,
      },
      blobs: {
        put: (bytes) => {
          const own = copyOf(bytes);
          return ask(() => service.putBlob(own));
        },
        get: async (address) => {
          const bytes = await ask(() => service.blob(address));
          return bytes === null ? null : checkedBlob(address, bytes);
        },
        has: (address) => ask(() => service.hasBlob(address)),
        remove: (address) => ask(() => service.removeBlob(address)),
      },
    };

    function follow(filter: string, after: number, receive: (entry: LogEntry) => void | Promise<void>): Stop {
      let cursor = after, epoch = service.epoch, isLive = true, isComing = false, last = Promise.resolve();
      /** The service pushes what is new; what is lost on the way is found missing a little later. */
      function wake(): void {
        if (!isLive || isComing || !life.isAlive) return;
        isComing = true;
        const again = (): void => void world.after(CATCH_UP_MS, () => { isComing = false; wake(); });
        network.send(SERVICE, life.name, () => {
          if (!isLive || !isComing || !life.isAlive) return;
          if (!service.isUp) return again();
          isComing = false;
          if (epoch !== service.epoch) {
            epoch = service.epoch;
            cursor = Math.min(cursor, after);
          }
          const entries = service.read(filter, cursor, Number.MAX_SAFE_INTEGER);
          if (entries.length === 0) return;
          cursor = entries[entries.length - 1].sequence;
          life.within(() => { for (const entry of entries) last = last.then(() => (isLive ? attended(() => receive(entry)) : undefined)); });
        }, again);
      }
      const matches = subjectMatcher(filter), wakeFor = (subject: string): void => { if (life.isAlive && matches(subject)) wake(); };
      wakeFollowers.add(wakeFor);
      wake();
      return () => {
        isLive = false;
        wakeFollowers.delete(wakeFor);
      };
    }

    function watch(filter: string, receive: (key: string, entry: RegistryEntry | null) => void | Promise<void>): Stop {
      const matches = subjectMatcher(filter);
      let isLive = true, last = Promise.resolve();
      function tell(key: string): void {
        if (!matches(key) || !isLive) return;
        const entry = service.get(key);
        network.send(SERVICE, life.name, () => life.within(() => { last = last.then(() => (isLive ? attended(() => receive(key, entry)) : undefined)); }), () => world.after(CATCH_UP_MS, () => tell(key)));
      }
      wakeWatchers.add(tell);
      for (const { key } of service.list(filter)) tell(key);
      return () => {
        isLive = false;
        wakeWatchers.delete(tell);
      };
    }
  }

  /** Of every subject that the process hears: who is left is found again. */
  function forgetHearers(life: SimulatedLife): void {
    for (const [subject, heard] of hearers) if (heard.has(life)) hearers.delete(subject);
  }

  function hearersOf(subject: string): ReadonlyMap<SimulatedLife, readonly Subscription[]> {
    let found = hearers.get(subject);
    if (found === undefined) hearers.set(subject, (found = Map.groupBy([...subscriptions].filter(({ life, matches }) => life.isAlive && matches(subject)), ({ life }) => life)));
    return found;
  }

  /** One hop stands for two: to the service's host and on, once for all that a process has subscribed to. What waits beyond the bound is dropped, the oldest first. */
  function carry(from: string, life: SimulatedLife, heard: readonly Subscription[], subject: string, bytes: Uint8Array): void {
    if (!life.isAlive) {
      for (const subscription of heard) subscriptions.delete(subscription);
      return forgetHearers(life);
    }
    if (!service.isUp || network.isCut(from, SERVICE) || network.isCut(SERVICE, life.name)) return;
    const message: Underway = { droppedBy: [] };
    for (const subscription of heard) {
      const { pending } = subscription;
      pending.add(message);
      if (pending.size <= IO_LIMITS.busQueueMax) continue;
      const [oldest] = pending;
      oldest.droppedBy.push(subscription);
      pending.delete(oldest);
      dropped += 1;
    }
    const leave = (): void => { for (const { pending } of heard) pending.delete(message); };
    network.send(from, life.name, () => {
      leave();
      life.within(() => {
        for (const subscription of heard) {
          if (message.droppedBy.includes(subscription)) continue;
          subscription.last = subscription.last.then(() => (subscription.isLive ? attended(() => subscription.receive(subject, bytes)) : undefined));
        }
      });
    }, leave);
  }

  return { portsOf, onPublish: (listen) => void listeners.push(listen), counts: () => ({ failures, dropped, unanswered }) };
}
