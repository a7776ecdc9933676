import { PopulaceError } from "@populace/domain";
import type { RunState } from "@populace/protocol";

/**
 *                         ┌────────────── resubmit ◀───────────────┐
 *                         ▼                                        │
 *  submit ─▶ submitted ─▶ planned ─▶ running ─▶ done               │
 *               │            │        │ │ └────▶ failed ───────────┤
 *               │            │        │ └──────▶ canceled ─────────┤
 *               │            │        ├─ interrupt ─▶ paused ──────┤
 *               └── cancel, fail ─────┘                            │
 *                                     └─ diverge ──▶ frozen ── (fresh only)
 *
 * `submitted` waits for its turn, `planned` has shards and owners, `running` opens ticks. `paused` was interrupted and goes on from
 * its last checkpoint as a new attempt; `frozen` keeps two outputs that disagree and starts again only from nothing.
 */
const TRANSITIONS: Readonly<Record<RunState, readonly RunState[]>> = {
  submitted: ["planned", "paused", "failed", "canceled"],
  planned: ["running", "paused", "failed", "canceled"],
  running: ["paused", "frozen", "done", "failed", "canceled"],
  paused: ["submitted", "canceled"],
  frozen: ["submitted", "canceled"],
  done: ["submitted"],
  failed: ["submitted"],
  canceled: ["submitted"],
};

/** The next state. An illegal transition is a programmer's error and throws. */
export function transition(from: RunState, to: RunState): RunState {
  if (!TRANSITIONS[from].includes(to)) throw new PopulaceError("INTERNAL", `a run cannot go from ${from} to ${to}; allowed: ${TRANSITIONS[from].join(", ")}`, { from, to });
  return to;
}

/** Whether the state changes by itself no more: only a new submission moves it. */
export const isSettled = (state: RunState): boolean => state !== "submitted" && state !== "planned" && state !== "running";
