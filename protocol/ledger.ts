import { PopulaceError } from "@populace/domain";
import type { Commit, RunSpec } from "./messages.ts";

/**
 * A ledger is a standing run without agents: the exact integer counts of a model's real outcomes. Its plan names the cells; an event falls into one.
 * Whoever can name the same personas, stimuli and steps of the same fit counts into the same ledger, whatever version the model has by then.
 */
export interface LedgerPlan {
  /** Name of the model, for people. */
  readonly model: string;
  /** SHA-256 (hex) of what decides which persona an outcome belongs to and what its count says: another fit, another ledger. */
  readonly fit: string;
  readonly personas: readonly string[];
  readonly stimuli: readonly string[];
  readonly steps: readonly string[];
}

/** Version of the rules by which a ledger counts; part of its run's id. */
export const LEDGER_SPEC = "ledger-1";
/** A ledger never ends by itself: a second a tick, it would take 60 years. */
const LEDGER_TICKS = 2_000_000_000;
/** Hex digits of an event's id: 128 bits of the SHA-256 of what its sender called it. */
export const EVENT_ID_DIGITS = 32;

/** The bytes of a plan: content-addressed, the same for the same plan. */
export const encodeLedgerPlan = ({ model, fit, personas, stimuli, steps }: LedgerPlan): Uint8Array => new TextEncoder().encode(JSON.stringify({ model, fit, personas, stimuli, steps }));

/** The plan; BAD_REQUEST for bytes that are none. */
export function decodeLedgerPlan(bytes: Uint8Array): LedgerPlan {
  const refuse = (why: string, cause?: unknown): never => {
    throw new PopulaceError("BAD_REQUEST", `${bytes.length} bytes are no plan of a ledger (${why}); expected {model, fit, personas, stimuli, steps}`, {}, cause);
  };
  let plan: Record<string, unknown>;
  try {
    plan = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
  } catch (cause) {
    return refuse("not JSON", cause);
  }
  const isTexts = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every((each) => typeof each === "string");
  for (const name of ["personas", "stimuli", "steps"]) if (!isTexts(plan[name])) refuse(`${name} should be a list of names`);
  for (const name of ["model", "fit"]) if (typeof plan[name] !== "string") refuse(`${name} should be text`);
  return plan as unknown as LedgerPlan;
}

/** The immutable description of a plan's ledger; its id is the run id of every outcome. `planHash` is the blob address of the encoded plan. */
export const ledgerSpecOf = (planHash: string): RunSpec => ({ kernelSpec: LEDGER_SPEC, arithmeticProfile: "integers", planHash, seed: [0, 0], agents: 0, ticks: LEDGER_TICKS });

/** Whether a run is a ledger: it has no shards, no nodes and no end. */
export const isLedger = (spec: Pick<RunSpec, "kernelSpec">): boolean => spec.kernelSpec === LEDGER_SPEC;

/** Whether a commit of a ledger names a checkpoint, which stands for all commits up to this one: the chain may begin with it. Commits of runs with nodes name sums beside theirs, and never do. */
export const isLedgerBase = ({ checkpoint, sums }: Pick<Commit, "checkpoint" | "sums">): boolean => checkpoint.length > 0 && sums === "";

/** One real outcome: its cell, how many steps of the funnel were reached, and when. */
export interface OutcomeEvent {
  /** EVENT_ID_DIGITS hex digits. */
  readonly id: string;
  readonly persona: number;
  readonly stimulus: number;
  readonly reached: number;
  /** Days since 1970 (UTC). */
  readonly day: number;
}

/** An event as the text that is stored, sealed and hashed: five tokens with spaces between them. */
export const eventText = ({ id, persona, stimulus, reached, day }: OutcomeEvent): string => `${id} ${persona} ${stimulus} ${reached} ${day}`;

/** The id that a text begins with: that of the event, however malformed the rest is. */
export const eventIdOf = (text: string): string => text.split(" ", 1)[0];

/** The event of a text, or in one sentence why it cannot be counted in this plan. */
export function eventOf(text: string, plan: LedgerPlan): OutcomeEvent | string {
  const match = /^([0-9a-f]{32}) (\d{1,9}) (\d{1,9}) (\d{1,9}) (\d{1,9})$/.exec(text);
  if (match === null) return "malformed: expected an id, a persona, a stimulus, the steps reached and a day";
  const [persona, stimulus, reached, day] = match.slice(2).map(Number);
  if (persona >= plan.personas.length) return `unknown persona: number ${persona} of ${plan.personas.length}`;
  if (stimulus >= plan.stimuli.length) return `unknown stimulus: number ${stimulus} of ${plan.stimuli.length}`;
  if (reached > plan.steps.length) return `unknown step: ${reached} of ${plan.steps.length} were reached`;
  return { id: match[1], persona, stimulus, reached, day };
}

/** Why the event of an entry of a manifest was refused, or null when it was counted. */
export const refusalOf = (entry: string): string | null => (/^\S+( \d+){4}$/.test(entry) ? null : entry.slice(entry.indexOf(" ") + 1));

/** Entries a cell has in a ledger's counts, which are personas x stimuli x columns: exposures, then responses of each step. */
export const ledgerColumns = (plan: Pick<LedgerPlan, "steps">): number => 1 + plan.steps.length;
