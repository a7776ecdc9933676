import { PopulaceError, type ErrorCode } from "@populace/domain";
import type { RunState } from "@populace/protocol";

/**
 *                         ┌───────── submit again, resume ◀────────┐
 *                         ▼                                        │
 *  submit ─▶ submitted ─▶ planned ─▶ running ─▶ done               │
 *               │            │  ▲     │ │ │ └──▶ failed ───────────┤
 *               │            │  └─────┘ │ └────▶ canceled ─────────┤
 *               │            │  attempt ├─ pause ──▶ paused ───────┤
 *               └─ cancel, pause, fail ─┘                          │
 *                                       └─ diverge ▶ frozen ── resolve, or anew
 *  Whatever is settled can be removed ─▶ removed ─▶ submitted, as if it were new.
 *
 * `submitted` waits for its turn, `planned` has it and gets shards and owners, `running` opens ticks; a new attempt plans again.
 * `paused` goes on from its last checkpoint; `frozen` keeps two outputs that disagree until a third computation has decided.
 * Of what was removed the record alone stays, for a disk that was away meanwhile would bring it back. A change of the leader changes no state.
 */
const TRANSITIONS: Readonly<Record<RunState, readonly RunState[]>> = {
  submitted: ["planned", "paused", "failed", "canceled"],
  planned: ["running", "paused", "frozen", "failed", "canceled"],
  running: ["planned", "paused", "frozen", "done", "failed", "canceled"],
  paused: ["submitted", "canceled", "removed"],
  frozen: ["submitted", "canceled", "removed"],
  done: ["submitted", "removed"],
  failed: ["submitted", "removed"],
  canceled: ["submitted", "removed"],
  removed: ["submitted"],
};

/** The next state. An illegal transition is a programmer's error and throws. */
export function transition(from: RunState, to: RunState): RunState {
  if (!TRANSITIONS[from].includes(to)) throw new PopulaceError("INTERNAL", `a run cannot go from ${from} to ${to}; allowed: ${TRANSITIONS[from].join(", ")}`, { from, to });
  return to;
}

/** Whether the state changes by itself no more: only a new submission moves it. */
export const isSettled = (state: RunState): boolean => state !== "submitted" && state !== "planned" && state !== "running";

/** The state in which an error leaves a run. STALE_TERM leaves it alone: another coordinator has it. */
export function stateAfter(code: ErrorCode, isCanceled: boolean): RunState | null {
  if (code === "STALE_TERM") return null;
  if (isCanceled) return "canceled";
  return code === "INTERRUPTED" ? "paused" : code === "DIVERGENCE" ? "frozen" : "failed";
}
