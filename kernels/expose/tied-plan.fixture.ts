// A plan in which some agent's draw equals its threshold, for every kind of draw: chance makes such a tie once in 2^32 draws, and only a tie tells
// "below" from "at most".
import { mulHigh, philox4x32 } from "@populace/domain/random";
import type { ExposeTrait } from "./plan.ts";
import { traitKey, traitWord } from "./population.ts";
import type { Climate } from "./port.ts";
import { PURPOSE } from "./purpose.ts";
import { initialClimate } from "./reference.ts";
import { samplePlan, type SamplePlan } from "./sample-plan.ts";
import { sigmoidQ32 } from "./tables.ts";
import { GROUP_AGENTS, thinnedDraws } from "./thinning.ts";

type Key = readonly [number, number];

/** Logits of a threshold that hardly anybody is below, and of one that hardly anybody is not below. */
const NOBODY = -0x40000, EVERYBODY = 0x3ffff;
/** The sigmoid takes every value here: one step of the logit moves it by less than one. */
const REACHABLE = { min: 1000, max: 8000 } as const;
const TIED_BITS = 16;

/** The comparisons of a draw with its threshold. */
export const TIES = ["draw", "laterStep", "leave", "thinnedDraw", "thinnedLeave", "return", "share", "aware", "level"] as const;
export type Tie = (typeof TIES)[number];

/** A plan of two ticks with a persona for each of these ties, which its agents meet at tick 0 (those who return, at tick 1), and its climate. */
export function tiedPlan(ties: readonly Tie[]): { readonly plan: SamplePlan; readonly climate: Climate } {
  const base = samplePlan(5, { agents: ties.map(() => GROUP_AGENTS), ticks: 2, worlds: 1, worldShift: 8, scenarios: 1, stimuli: 1, steps: 2, traits: 3, levels: 2, influence: true });
  const still = initialClimate(base), awareThreshold = still.awareThreshold.slice(), shareThreshold = new Uint32Array(2);
  const bias = new Int32Array(2 * ties.length).fill(NOBODY), leaveBias = new Int32Array(ties.length).fill(NOBODY);
  const drawBits = new Uint8Array(ties.length), leaveBits = new Uint8Array(ties.length);
  const personas = ties.map((tie, p) => {
    const drawn = smallDraw(tie), { key } = drawn;
    let returnThreshold = 0, boundary = 65_536;
    switch (tie) {
      case "draw":
      case "thinnedDraw": bias[2 * p] = logitOf(drawn.draw, sigmoidQ32); break;
      case "laterStep": {
        bias[2 * p] = EVERYBODY;
        bias[2 * p + 1] = logitOf(drawn.draw, (logit) => mulHigh(sigmoidQ32(EVERYBODY), sigmoidQ32(logit)));
        break;
      }
      case "leave":
      case "thinnedLeave": leaveBias[p] = logitOf(drawn.draw, sigmoidQ32); break;
      case "return": {
        leaveBias[p] = EVERYBODY;
        returnThreshold = philox4x32([7, 1, 0, PURPOSE.return], key)[0];
        break;
      }
      case "share": {
        bias[2 * p] = EVERYBODY;
        shareThreshold[0] = philox4x32([9, 0, 0, PURPOSE.share], key)[0];
        break;
      }
      case "aware": awareThreshold[p] = drawn.draw; break;
      case "level": boundary = traitWord(5, traitKey({ key }, 0)) & 0xffff;
    }
    if (tie === "thinnedDraw") drawBits[p] = TIED_BITS;
    if (tie === "thinnedLeave") leaveBits[p] = TIED_BITS;
    const level = { cumulative: Uint32Array.of(boundary, 65_536), codes: Int8Array.of(0, tie === "level" ? 1 : 0) };
    return { ...base.personas[p], key, returnThreshold, traits: base.personas[p].traits.map((trait): ExposeTrait => (trait.kind === "level" ? { ...trait, ...level } : trait)) };
  });
  const plan: SamplePlan = {
    ...base, personas, bias, leaveBias, drawBits, leaveBits,
    // The second level makes everybody respond, numbers nobody.
    weights: new Int16Array(base.weights.length), tables: Int32Array.of(0, 2 * EVERYBODY, 0, 0), offset: new Int32Array(base.offset.length),
    pressureWeight: new Int32Array(2), pressureLeaveWeight: 0,
    influence: { ...base.influence!, shareThreshold, awareWeight: new Int32Array(2), warmthMax: 0 },
  };
  return { plan, climate: { ...still, awareThreshold } };
}

/** The first key under which some agent's draw of this kind is one that a sigmoid can equal, and that draw. */
function smallDraw(tie: Tie): { readonly key: Key; readonly draw: number } {
  const drawsOf = (key: Key): readonly number[] => {
    switch (tie) {
      case "thinnedDraw": return thinned(key, PURPOSE.drawCount, PURPOSE.drawSpot);
      case "thinnedLeave": return thinned(key, PURPOSE.leaveCount, PURPOSE.leaveSpot);
      case "leave": return smallDraws(key, PURPOSE.leaveHigh, PURPOSE.leaveLow);
      case "aware": return smallDraws(key, PURPOSE.awareHigh, PURPOSE.awareLow);
      default: return smallDraws(key, PURPOSE.drawHigh, PURPOSE.drawLow);
    }
  };
  for (let k = 1; ; k++) {
    const draw = Math.min(...drawsOf([k, 2026]));
    if (draw >= REACHABLE.min && draw <= REACHABLE.max) return { key: [k, 2026], draw };
  }
}

/** The dense draws below 2^24 of a group of 256 agents at tick 0. */
function smallDraws(key: Key, high: number, low: number): readonly number[] {
  const draws: number[] = [];
  for (let agent = 0; agent < GROUP_AGENTS; agent++) {
    if ((philox4x32([agent >> 4, 0, 0, high], key)[(agent >> 2) & 3] >>> (8 * (agent & 3)) & 255) === 0) draws.push(philox4x32([agent, 0, 0, low], key)[0] >>> 8);
  }
  return draws;
}

function thinned(key: Key, count: number, spot: number): readonly number[] {
  const draws = new Uint32Array(GROUP_AGENTS);
  thinnedDraws(draws, TIED_BITS, 0, 0, 0, count, spot, key[0], key[1], new Uint32Array(4));
  return [...draws];
}

function logitOf(draw: number, threshold: (logit: number) => number): number {
  let logit = NOBODY;
  while (threshold(logit) < draw) logit++;
  if (threshold(logit) !== draw) throw new RangeError(`no logit has the threshold ${draw}`);
  return logit;
}
