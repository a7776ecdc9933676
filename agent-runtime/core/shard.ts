import { type Block, columnCount, joinWords, type Plan, type Shard, type ShardOut } from "@populace/protocol";

/** What one worker found for the blocks of one shard and persona that it holds. */
export interface ShardPart {
  readonly shard: number;
  readonly persona: number;
  /** span x cells x worlds x columns, summed over those blocks. */
  readonly counts: Uint32Array;
  /** span x scenarios x 2. */
  readonly sections: Uint32Array;
}

/** Hashes of one block, by its index in the canonical list. */
export interface BlockHashes {
  readonly block: number;
  /** span x 64 bytes (stateHash, outHash). */
  readonly hashes: Uint8Array;
  /** SHA-256 of the state after the span, 32 bytes; null when no checkpoint was asked for. */
  readonly state: Uint8Array | null;
}

/** What the agents of one block of a behavior sent in the tick (protocol/mail.ts). */
export interface BlockMail {
  readonly block: number;
  readonly outbox: Uint32Array;
}

/** First and number of the personas whose blocks the shard holds: they are contiguous, because blocks are in persona order. */
export function personasOf(blocks: readonly Block[], shard: Shard): readonly [number, number] {
  const first = blocks[shard.first].persona;
  return [first, blocks[shard.first + shard.count - 1].persona - first + 1];
}

/**
 * Joins what the workers found into the shard's output. Sums and places only, so neither the number of workers nor the order
 * in which they finished can show. Counts stay u32: a persona has fewer than 2^32 exposures a tick and cell.
 */
export function assembleShardOut(
  header: Pick<ShardOut, "run" | "attempt" | "tick" | "span" | "view" | "incarnation" | "backend">,
  plan: Plan, blocks: readonly Block[], shard: Shard, parts: readonly ShardPart[], hashes: readonly BlockHashes[], mail: readonly BlockMail[] = [],
): ShardOut {
  const [firstPersona, personaCount] = personasOf(blocks, shard);
  const { span } = header;
  const row = plan.worlds * columnCount(plan.steps.length), cellCount = plan.cells.length, pair = plan.scenarios.length * 2;
  const counts = new Uint32Array(span * cellCount * personaCount * row);
  const sections = new Uint32Array(span * personaCount * pair);
  for (const part of parts) {
    if (part.shard !== shard.index) continue;
    const persona = part.persona - firstPersona;
    for (let tick = 0; tick < span; tick++) {
      for (let cell = 0; cell < cellCount; cell++) {
        const from = (tick * cellCount + cell) * row, to = ((tick * cellCount + cell) * personaCount + persona) * row;
        for (let i = 0; i < row; i++) counts[to + i] += part.counts[from + i];
      }
      for (let i = 0; i < pair; i++) sections[(tick * personaCount + persona) * pair + i] += part.sections[tick * pair + i];
    }
  }
  const joined = new Uint8Array(span * shard.count * 64);
  const states = new Uint8Array(hashes.some(({ state }) => state !== null) ? shard.count * 32 : 0);
  for (const { block, hashes: own, state } of hashes) {
    if (block < shard.first || block >= shard.first + shard.count) continue;
    if (state !== null) states.set(state, (block - shard.first) * 32);
    for (let tick = 0; tick < span; tick++) joined.set(own.subarray(tick * 64, tick * 64 + 64), (tick * shard.count + block - shard.first) * 64);
  }
  return { ...header, shard: shard.index, hashes: joined, states, personas: [firstPersona, personaCount], counts, sections, mail: mailOf(shard, mail) };
}

/** Outboxes in block order. */
function mailOf(shard: Shard, mail: readonly BlockMail[]): Uint32Array {
  return joinWords(mail.filter(({ block }) => block >= shard.first && block < shard.first + shard.count).toSorted((a, b) => a.block - b.block).map(({ outbox }) => outbox));
}

/**
 * Which worker holds which block: the largest first, each to the worker with the fewest agents so far. A worker index a block
 * of `list`; deterministic, though nothing depends on it but time.
 */
export function spreadBlocks(blocks: readonly Block[], list: readonly number[], workers: number): Map<number, number> {
  const load = new Array<number>(workers).fill(0);
  const placed = new Map<number, number>();
  for (const block of [...list].sort((a, b) => blocks[b].agents - blocks[a].agents || a - b)) {
    let worker = 0;
    for (let other = 1; other < workers; other++) if (load[other] < load[worker]) worker = other;
    load[worker] += blocks[block].agents;
    placed.set(block, worker);
  }
  return placed;
}
