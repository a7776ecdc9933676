import { eventIdOf, eventOf, ledgerColumns, type LedgerPlan } from "@populace/protocol";

/** What a tick of a ledger adds. */
export interface LedgerTick {
  /** personas x stimuli x (exposures, responses of each step): integers. */
  readonly counts: Float64Array;
  /** The events that are new in this tick; of one that was refused its id, and the reason. */
  readonly manifest: readonly string[];
  readonly counted: number;
}

/** Counts sealed events; those of days before `floor` are refused. One that an earlier tick has, or that stands twice, is passed over; one that fits no cell is refused with its reason, and the others count. */
export function ledgerTick(plan: LedgerPlan, sealed: readonly string[], isCommitted: (id: string) => boolean, floor = 0): LedgerTick {
  const columns = ledgerColumns(plan), counts = new Float64Array(plan.personas.length * plan.stimuli.length * columns);
  const seen = new Set<string>(), manifest: string[] = [];
  let counted = 0;
  for (const text of sealed) {
    const id = eventIdOf(text);
    if (seen.has(id) || isCommitted(id)) continue;
    seen.add(id);
    const event = eventOf(text, plan);
    const refusal = typeof event === "string" ? event : event.day < floor ? `too old: day ${event.day} (since 1970), and the ledger takes outcomes from day ${floor} on` : null;
    if (typeof event === "string" || refusal !== null) {
      manifest.push(`${id} ${refusal}`);
      continue;
    }
    manifest.push(text);
    counted += 1;
    const cell = (event.persona * plan.stimuli.length + event.stimulus) * columns;
    for (let column = 0; column <= event.reached; column += 1) counts[cell + column] += 1;
  }
  return { counts, manifest, counted };
}
