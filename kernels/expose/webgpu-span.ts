/** The tables that tell codes.wgsl and expose.wgsl what to do with the blocks of one submission, and the way back from what they counted. */
import { type ExposeBlock, type ExposePlan, isHashTick } from "./plan.ts";
import type { Climate, OnTick } from "./port.ts";
import type { createOutput } from "./reference.ts";
import { type Script, scriptOf } from "./script.ts";
import { NO_STATE_HASH } from "./state.ts";
import { GROUP_AGENTS } from "./thinning.ts";

const DIGEST_BYTES = 32;
/** Words of a plane of one group's state: four agents each. */
const PLANE_WORDS = GROUP_AGENTS / 4;

/** A block's share of a submission. */
export interface Task {
  readonly block: ExposeBlock;
  /** First group's place in the buffer of states. */
  readonly place: number;
  /** Whether nothing happened to the block yet: then its state is not read. */
  readonly isFresh: boolean;
  /** First group's place in the buffer of codes. */
  readonly codesPlace: number;
  readonly hasCodes: boolean;
}

export interface SpanTables {
  /** `Group` of expose.wgsl, one after the other. */
  readonly work: Uint32Array;
  readonly groups: number;
  /** `Group` of codes.wgsl, for the tasks without codes. */
  readonly undrawn: Uint32Array;
  readonly groupsUndrawn: number;
  readonly scripts: Uint32Array;
  readonly outWords: number;
  readonly tasks: readonly TaskCounts[];
}

/** Where a task's counts and digests begin in the output, and how to read them. */
interface TaskCounts extends Met {
  readonly rows: Script["rows"];
  readonly counts: number;
  readonly digests: number;
}

/** The run of worlds that a block meets, from the one of its first run of neighbors on. */
interface Met {
  readonly firstRun: number;
  readonly worldsMet: number;
}

export const groupsOf = (block: ExposeBlock): number => Math.ceil(block.agents / GROUP_AGENTS);

/** Words that the counts of so many exposures of a block take. */
export const countWords = (plan: ExposePlan, block: ExposeBlock, exposures: number): number => exposures * worldsOf(plan, block).worldsMet * (plan.steps.length + 3);

export function spanTables(plan: ExposePlan, cells: Int32Array, tasks: readonly Task[], tick: number, span: number, climate: Climate): SpanTables {
  const scripts = scriptTable(plan, cells, new Set(tasks.map(({ block }) => block.persona)), tick, span, climate);
  let hashTicks = 0, at = 0;
  for (let t = tick; t < tick + span; t++) if (isHashTick(plan, t)) hashTicks++;
  const work: number[] = [], undrawn: number[] = [];
  const counted = tasks.map(({ block, place, isFresh, codesPlace, hasCodes }): TaskCounts => {
    const { script, head } = scripts.of.get(block.persona)!, met = worldsOf(plan, block);
    const counts = at, digests = counts + countWords(plan, block, script.exposures);
    at = digests + hashTicks * (DIGEST_BYTES / 4);
    for (let g = 0, first = block.firstAgent; g < groupsOf(block); g++, first += GROUP_AGENTS) {
      const agents = Math.min(GROUP_AGENTS, block.firstAgent + block.agents - first);
      work.push(block.persona, first, agents, Number(isFresh), place + g, codesPlace + g, head, counts, met.firstRun, met.worldsMet, digests, g * PLANE_WORDS);
      if (!hasCodes) undrawn.push(block.persona, first, codesPlace + g);
    }
    return { ...met, rows: script.rows, counts, digests };
  });
  return { work: Uint32Array.from(work), groups: work.length / 12, undrawn: Uint32Array.from(undrawn), groupsUndrawn: undrawn.length / 3, scripts: scripts.words, outWords: at, tasks: counted };
}

/** Hands the counts of a task over tick by tick; `output` is overwritten for each. */
export function handOver(plan: ExposePlan, { rows, counts, digests, firstRun, worldsMet }: TaskCounts, index: number, tick: number, words: Uint32Array, output: ReturnType<typeof createOutput>, onTick: OnTick): void {
  const steps = plan.steps.length, columns = steps + 3, { worlds } = plan;
  let digest = words.byteOffset + digests * 4;
  rows.forEach((exposures, offset) => {
    output.whole.fill(0);
    for (const { row, scenario, cell } of exposures) {
      for (let w = 0; w < worldsMet; w++) {
        const from = counts + (row * worldsMet + w) * columns, to = (cell * worlds + ((firstRun + w) % worlds)) * columns;
        for (let column = 0; column < columns; column++) output.counts[to + column] += words[from + column];
        output.sections[2 * scenario] += words[from + steps + 2];
        output.sections[2 * scenario + 1] += words[from + steps + 1];
      }
    }
    let stateHash: Uint8Array = NO_STATE_HASH;
    if (isHashTick(plan, tick + offset)) {
      stateHash = new Uint8Array(words.buffer, digest, DIGEST_BYTES);
      digest += DIGEST_BYTES;
    }
    onTick(index, tick + offset, { ...output, stateHash });
  });
}

/** Runs of neighbors in one world follow one another through all worlds: a block meets a few in a row, or all. */
function worldsOf(plan: ExposePlan, { persona, firstAgent, agents }: ExposeBlock): Met {
  const { worldShift } = plan.personas[persona], firstRun = firstAgent >>> worldShift;
  return { firstRun, worldsMet: Math.min(plan.worlds, ((firstAgent + agents - 1) >>> worldShift) - firstRun + 1) };
}

/** The scripts of personas: the heads of all, a persona's one after the other by scenario, then their events. */
function scriptTable(plan: ExposePlan, cells: Int32Array, personas: ReadonlySet<number>, tick: number, span: number, { warmth, awareThreshold }: Climate): { readonly words: Uint32Array; readonly of: ReadonlyMap<number, { readonly script: Script; readonly head: number }> } {
  const scenarios = plan.scenarios.length, personaCount = plan.personas.length;
  const of = new Map([...personas].map((persona, n) => [persona, { script: scriptOf(plan, cells, persona, tick, span, (scenario) => awareThreshold[scenario * personaCount + persona]), head: n * scenarios }]));
  const heads: number[] = [], lists: Uint32Array[] = [];
  let at = of.size * scenarios;
  for (const [persona, { script }] of of) {
    script.events.forEach((events, scenario) => {
      heads.push(at, events.length / 4, warmth[scenario * personaCount + persona], awareThreshold[scenario * personaCount + persona]);
      lists.push(events);
      at += events.length / 4;
    });
  }
  const words = new Uint32Array(4 * at);
  words.set(heads);
  let to = heads.length;
  for (const events of lists) {
    words.set(events, to);
    to += events.length;
  }
  return { words, of };
}
