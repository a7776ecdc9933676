import { PopulaceError } from "@populace/domain";
import { blocksOf, columnCount, type Plan, type Shard, type ShardOut } from "@populace/protocol";

/** Sizes of a run's statistics. */
export interface LedgerShape {
  readonly cells: number;
  readonly personas: number;
  readonly worlds: number;
  readonly columns: number;
  readonly scenarios: number;
}

export const ledgerShape = (plan: Plan): LedgerShape => ({
  cells: plan.cells.length,
  personas: plan.personas.length,
  worlds: plan.worlds,
  columns: columnCount(plan.steps.length),
  scenarios: plan.scenarios.length,
});

/** Entries of cells x personas x worlds x columns. */
export const sumsLength = (shape: LedgerShape): number => shape.cells * shape.personas * shape.worlds * shape.columns;

/** Integer sums of one tick over all shards; exact below 2^53. */
export interface TickSums {
  /** cells x personas x worlds x columns. */
  readonly counts: Float64Array;
  /** personas x scenarios x 2; empty without influence. */
  readonly sections: Float64Array;
  /** blocks x 64 bytes in canonical order. */
  readonly leaves: Uint8Array;
}

/** Personas that a shard covers: [first, count]. Blocks are canonical, so they are contiguous. */
export function personasOf(plan: Pick<Plan, "personas">, shard: Shard): readonly [number, number] {
  const blocks = blocksOf(plan).slice(shard.first, shard.first + shard.count);
  return [blocks[0].persona, blocks[blocks.length - 1].persona - blocks[0].persona + 1];
}

/** Throws CORRUPT when an output's arrays have other sizes than its shard and span demand. */
export function checkShape(out: ShardOut, shape: LedgerShape, shard: Shard, personas: readonly [number, number], coupled: boolean): void {
  const expected = {
    hashes: out.span * shard.count * 64,
    counts: out.span * shape.cells * personas[1] * shape.worlds * shape.columns,
    sections: coupled ? out.span * personas[1] * shape.scenarios * 2 : 0,
  };
  const found = { hashes: out.hashes.length, counts: out.counts.length, sections: out.sections.length };
  const wrong = out.personas[0] !== personas[0] || out.personas[1] !== personas[1] || found.hashes !== expected.hashes || found.counts !== expected.counts
    // Without influence a node may send the zeros or leave them out.
    || (coupled && found.sections !== expected.sections);
  if (wrong) {
    throw new PopulaceError("CORRUPT", `shard ${out.shard} at tick ${out.tick}: an output of personas ${out.personas.join("+")}, ${found.hashes} hash bytes, ${found.counts} counts, ${found.sections} sections; expected ${personas.join("+")}, ${expected.hashes}, ${expected.counts}, ${expected.sections}; node ${out.incarnation} runs another version`, { shard: out.shard, tick: out.tick });
  }
}

/** Sums one tick of a span (offset 0 to span - 1) over the outputs of all shards, given in shard order and shape-checked. */
export function sumTick(shape: LedgerShape, outs: readonly ShardOut[], shards: readonly Shard[], offset: number, coupled: boolean): TickSums {
  const counts = new Float64Array(sumsLength(shape));
  const sections = new Float64Array(coupled ? shape.personas * shape.scenarios * 2 : 0);
  const blocks = shards.reduce((sum, shard) => sum + shard.count, 0);
  const leaves = new Uint8Array(blocks * 64);
  const perPersona = shape.worlds * shape.columns;
  outs.forEach((out, index) => {
    const shard = shards[index];
    const [firstPersona, personaCount] = out.personas;
    leaves.set(out.hashes.subarray(offset * shard.count * 64, (offset + 1) * shard.count * 64), shard.first * 64);
    const own = shape.cells * personaCount * perPersona;
    for (let cell = 0; cell < shape.cells; cell += 1) {
      const from = offset * own + cell * personaCount * perPersona;
      const to = (cell * shape.personas + firstPersona) * perPersona;
      for (let entry = 0; entry < personaCount * perPersona; entry += 1) counts[to + entry] += out.counts[from + entry];
    }
    if (coupled) {
      const width = shape.scenarios * 2;
      for (let entry = 0; entry < personaCount * width; entry += 1) sections[firstPersona * width + entry] += out.sections[offset * personaCount * width + entry];
    }
  });
  return { counts, sections, leaves };
}

/** Sums over worlds: cells x personas x columns of one tick. */
export function overWorlds(shape: LedgerShape, counts: Float64Array): Float64Array {
  const sums = new Float64Array(shape.cells * shape.personas * shape.columns);
  for (let row = 0; row < shape.cells * shape.personas; row += 1) {
    for (let world = 0; world < shape.worlds; world += 1) {
      for (let column = 0; column < shape.columns; column += 1) sums[row * shape.columns + column] += counts[(row * shape.worlds + world) * shape.columns + column];
    }
  }
  return sums;
}

/** Adds `addend` to `sums` in place. Throws ARITHMETIC_RANGE when a sum would leave the exact integers. */
export function accumulate(sums: Float64Array, addend: Float64Array): void {
  for (let index = 0; index < sums.length; index += 1) {
    const sum = sums[index] + addend[index];
    if (sum > Number.MAX_SAFE_INTEGER) throw new PopulaceError("ARITHMETIC_RANGE", `a count of the run passes 2^53; split the run`, { index });
    sums[index] = sum;
  }
}

/** Exposures in counts of any leading shape with `columns` last. */
export function exposuresIn(counts: Float64Array, columns: number): number {
  let sum = 0;
  for (let index = 0; index < counts.length; index += columns) sum += counts[index];
  return sum;
}

/** Exposures the schedule plans per tick; skipped contacts and agents who left make the real number smaller, never larger. */
export function exposuresPlanned(plan: Plan): Float64Array {
  const personas = plan.personas.length;
  const planned = new Float64Array(plan.ticks);
  for (const scenario of plan.scenarios) {
    for (let slot = 0; slot < scenario.schedule.length; slot += 1) {
      if (scenario.schedule[slot] >= 0) planned[Math.floor(slot / (plan.ordinalsMax * personas))] += plan.personas[slot % personas].agents;
    }
  }
  return planned;
}
