import type { SimulatedWorld } from "./world.ts";

/** What the network does to every message. */
export interface Weather {
  readonly latencyMs: readonly [number, number];
  readonly lossRate: number;
  readonly duplicateRate: number;
  /** Share of messages that are held up, by up to `delayMs`, and then overtaken. */
  readonly delayRate: number;
  readonly delayMs: number;
}

/** A quiet local network. */
export const CALM: Weather = { latencyMs: [0.1, 0.6], lossRate: 0, duplicateRate: 0, delayRate: 0, delayMs: 0 };

/** Links between named processes; `*` stands for everybody in a cut. */
export interface SimulatedNetwork {
  /** Carries `deliver` from one to the other: in order per link unless held up, perhaps twice, perhaps never. `onLost` when it will not arrive. */
  send(from: string, to: string, deliver: () => void, onLost?: () => void): void;
  setWeather(weather: Weather): void;
  /** Nothing passes in this direction until healed. */
  cut(from: string, to: string): void;
  heal(from: string, to: string): void;
  isCut(from: string, to: string): boolean;
  counts(): { readonly lost: number; readonly duplicated: number; readonly delayed: number };
}

/** Copies of a message beyond the first, at most. */
const COPIES_MAX = 4;

/** A network without cuts in calm weather. */
export function simulatedNetwork(world: SimulatedWorld): SimulatedNetwork {
  const { chance } = world;
  const cuts = new Set<string>();
  /** By sender and receiver: when the last message in order arrives. */
  const arrivals = new Map<string, Map<string, number>>();
  let weather = CALM, lost = 0, duplicated = 0, delayed = 0;
  const isCut = (from: string, to: string): boolean => cuts.size > 0 && [`${from}>${to}`, `${from}>*`, `*>${to}`].some((link) => cuts.has(link));

  return {
    send(from, to, deliver, onLost) {
      if (isCut(from, to) || (weather.lossRate > 0 && chance() < weather.lossRate)) {
        lost += 1;
        onLost?.();
        return;
      }
      let copies = 1;
      while (weather.duplicateRate > 0 && copies <= COPIES_MAX && chance() < weather.duplicateRate) copies += 1;
      duplicated += copies - 1;
      const [least, most] = weather.latencyMs;
      let links = arrivals.get(from);
      if (links === undefined) arrivals.set(from, (links = new Map()));
      for (let copy = 0; copy < copies; copy += 1) {
        let atMs = world.nowMs() + least + chance() * (most - least);
        if (weather.delayRate > 0 && chance() < weather.delayRate) {
          delayed += 1;
          atMs += chance() * weather.delayMs;
        } else {
          atMs = Math.max(atMs, (links.get(to) ?? 0) + 1e-6);
          links.set(to, atMs);
        }
        world.after(atMs - world.nowMs(), deliver);
      }
    },
    setWeather(next) { weather = next; },
    cut: (from, to) => void cuts.add(`${from}>${to}`),
    heal: (from, to) => void cuts.delete(`${from}>${to}`),
    isCut,
    counts: () => ({ lost, duplicated, delayed }),
  };
}
