// The simulation kernel beside other people's tools, on the same agents and weights (peers/ says what each of them does).
import { type ExposePlan, codesOf } from "@populace/kernels";
import { type Bench, type BenchRow, compared } from "./bench.ts";
import { differences } from "./differences.ts";
import { countsHash, exposuresOf, stepping, storedPlan } from "./expose-work.ts";
import { cPeer } from "./peers/c.ts";
import type { Peer, PeerArrays } from "./peers/peer.ts";
import { pythonPeer } from "./peers/python.ts";

/** Worlds x (exposures, three steps, left). */
type PythonCounts = readonly (readonly number[])[];
const PYTHON_COLUMNS = 5;

export const bench: Bench = {
  name: "expose peers",
  async run({ tiny }) {
    const agents = tiny ? 2_048 : 2 ** 20, rounds = tiny ? 1 : 9;
    const plan = storedPlan(agents), ours = await stepping("wasm", plan, "stored");
    await ours.rate();
    const python = await pythonPeer({ tiny });

    const row = async <R>(what: string, peer: Peer<R>, countsOf: (result: R) => ArrayLike<number>, columns: number, rowRounds: number, floor: string | null, target: string | null, judge: (counts: ArrayLike<number>) => string): Promise<BenchRow> => {
      const { round } = peer;
      let last: ArrayLike<number> = [];
      const found = await compared({
        what, unit: "exposures/s", better: "larger", peerName: peer.name, floor, target, rounds: rowRounds, hash: ours.hash, ours: ours.rate,
        peer: round === null ? null : async () => {
          const { seconds, result } = await round();
          last = countsOf(result);
          let exposures = 0;
          for (let at = 0; at < last.length; at += columns) exposures += last[at]!;
          return exposures / seconds;
        },
      });
      peer.close();
      return { ...found, what: `${what}${round === null ? "" : `, ${judge(last)}`}` };
    };
    const inPython = async (what: string, script: string, of: string, crowd: ExposePlan, rowRounds: number, floor: string | null, target: string | null): Promise<BenchRow> => {
      const args = { worlds: crowd.worlds, ticks: crowd.ticks, worldShift: crowd.personas[0]!.worldShift, tableLength: crowd.tableLength, gain: crowd.pressureGain, gainResponse: crowd.pressureGainResponse };
      const peer = await python.start<PythonCounts>({ script, of, arrays: arraysOf(crowd), args });
      return row(what, peer, (result) => result.flat(), PYTHON_COLUMNS, rowRounds, floor, target, (counts) => differences(expected(crowd), crowd.steps.length + 3, counts, PYTHON_COLUMNS, [1, 2, 3, 4]));
    };
    /** What our reference bits are for a plan: a smaller crowd is the beginning of the larger one. */
    const small = storedPlan(tiny ? 1_024 : 20_480), few = await stepping("wasm", small, "stored");
    await few.rate();
    const expected = (crowd: ExposePlan): Float64Array => (crowd === small ? few : ours).counts();

    const same = (counts: ArrayLike<number>): string => {
      if (countsHash(counts) !== ours.hash()) throw new Error(`expose peers: C counts ${countsHash(counts)}, ours ${ours.hash()}; ${exposuresOf(plan, counts)} and ${exposuresOf(plan, ours.counts())} exposures`);
      return "same bits";
    };
    const rows = [
      await inPython("expose, stored, one core", "expose_numpy.py", "numpy", plan, rounds, "4x", "6x"),
      await row("expose, stored, one core", await cPeer<number[]>("expose.c", arraysOf(plan)), (counts) => counts, plan.steps.length + 3, rounds, null, null, same),
      await inPython("expose, stored, one core; the peer with 20,480 agents", "expose_mesa.py", "mesa", small, tiny ? 1 : 7, null, null),
      await inPython("expose, stored, one core", "expose_mesa_frames.py", "mesa-frames", plan, tiny ? 1 : 7, null, null),
    ];
    ours.close();
    few.close();
    return rows;
  },
};

/** A plan of one persona, one scenario and one stimulus as arrays. */
function arraysOf(plan: ExposePlan): PeerArrays {
  const { worlds, steps, slots, tableLength } = plan, persona = plan.personas[0]!;
  const codes = codesOf(plan, { persona: 0, firstAgent: 0, agents: persona.agents });
  return {
    codes: { data: codes, shape: [persona.agents, slots] },
    weights: { data: plan.weights, shape: [worlds, steps.length, slots] },
    tables: { data: plan.tables, shape: [worlds, steps.length, tableLength] },
    bias: { data: plan.bias, shape: [worlds, steps.length] },
    offset: { data: plan.offset, shape: [plan.ticks, steps.length] },
    leaveBias: plan.leaveBias, leaveBits: plan.leaveBits, pressureWeight: plan.pressureWeight, slotKind: plan.slotKind, tableOffset: plan.tableOffset,
    numbers: Uint32Array.of(persona.agents, worlds, plan.ticks, ...persona.key, tableLength, plan.pressureGain, plan.pressureGainResponse),
  };
}
