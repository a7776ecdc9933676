import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runPopulace } from "@populace/cli";
import { JunctionTree, RandomStream, drawStates, eliminate, evidenceOf, learnStructure, topologicalOrder, variableIndex } from "@populace/domain";
import type { BayesianNetwork, NetworkRows } from "@populace/domain";
import { bifText, compareRates, fitModel, learnCampaignNetwork, readBif, writeModel } from "@populace/studies";
import type { RateRow } from "@populace/studies";
import { dataFile } from "../helpers/data.ts";
import { compared } from "./bench.ts";
import type { Bench, BenchRow } from "./bench.ts";
import { structuralDistance } from "./network-distance.ts";
import { pythonPeer } from "./peers/python.ts";
import type { PythonPeer } from "./peers/python.ts";
import { absent, hashOf, readRealData } from "./real-data.ts";

export const NETWORKS = ["asia", "cancer", "earthquake", "survey", "sachs", "alarm"] as const;
type NetworkName = (typeof NETWORKS)[number];

/** Networks beside given posteriors, pgmpy's times and arcs, and the simulated rates of Hillstrom. */
export const bench: Bench = {
  name: "networks",
  async run({ tiny }) {
    if (dataFile("bayes-nets", "asia.bif") === null) return absent("Bayesian networks");
    const python = await pythonPeer({ tiny });
    return [...NETWORKS.map(accuracy), ...(await marginals(tiny, python)), ...(await structures(tiny, python)), ...(await agreement(tiny))];
  },
};

export const networkOf = (name: NetworkName): BayesianNetwork => readBif(dataFile("bayes-nets", `${name}.bif`)!);

interface PosteriorCase {
  readonly evidence: Readonly<Record<string, string>>;
  readonly query: string | readonly string[];
  readonly posterior: Readonly<Record<string, number>>;
  readonly p_evidence: number;
}

/** What the data state of a network. */
export function statedOf(name: NetworkName): { readonly cases: readonly PosteriorCase[]; readonly impossible_evidence?: readonly Readonly<Record<string, string>>[] } {
  return (JSON.parse(readFileSync(dataFile("bayes-nets", "posteriors.json")!, "utf8")) as Record<string, ReturnType<typeof statedOf>>)[name]!;
}

/** Largest difference of any probability from the stated ones, and between the two algorithms. */
export function differencesOf(name: NetworkName): { readonly stated: number; readonly between: number; readonly count: number } {
  const network = networkOf(name), { cases } = statedOf(name);
  let stated = 0, between = 0;
  for (const { evidence, query, posterior, p_evidence: pEvidence } of cases) {
    const asked = (typeof query === "string" ? [query] : query).map((each) => variableIndex(network, each));
    const known = evidenceOf(network, evidence);
    const tree = new JunctionTree(network, asked).beliefs(known), eliminated = eliminate(network, asked, known);
    const keys = asked.reduce<readonly string[]>((before, v) => before.flatMap((key) => network.variables[v]!.states.map((state) => (key === "" ? state : `${key}|${state}`))), [""]);
    keys.forEach((key, at) => {
      stated = Math.max(stated, Math.abs(tree.joint[at]! - posterior[key]!));
      between = Math.max(between, Math.abs(tree.joint[at]! - eliminated.joint[at]!));
    });
    stated = Math.max(stated, Math.abs(Math.exp(tree.logEvidence) - pEvidence));
    between = Math.max(between, Math.abs(Math.exp(tree.logEvidence) - Math.exp(eliminated.logEvidence)));
  }
  return { stated, between, count: cases.length };
}

function accuracy(name: NetworkName): BenchRow {
  const { stated, between, count } = differencesOf(name);
  if (!(between < 1e-12)) throw new Error(`${name}: junction tree and variable elimination differ by ${between}`);
  const floor = name === "sachs" || name === "alarm" ? 1e-6 : 1e-9;
  return { what: `${name}: largest error of ${count} posteriors (two algorithms within ${between.toExponential(1)})`, ours: stated, peer: null, peerName: "stated posteriors", ratio: null, unit: "probability", floor: floor.toExponential(0), target: null, hash: hashOf(new JunctionTree(networkOf(name)).beliefs().marginals.map((each) => [...each])) };
}

async function marginals(tiny: boolean, python: PythonPeer): Promise<readonly BenchRow[]> {
  const network = networkOf("alarm");
  const peer = await python.start<readonly (readonly number[])[]>({ script: "network_pgmpy.py", of: "pgmpy", arrays: {}, args: { method: "marginals", bif: bifText(network), states: network.variables.map(({ name, states }) => [name, states]) } });
  const { round } = peer;
  const hash = hashOf(new JunctionTree(network).beliefs().marginals.map((each) => [...each]));
  let ours = new JunctionTree(network).beliefs();
  const timed = (work: () => void, times: number) => (): Promise<number> => {
    const started = performance.now();
    for (let time = 0; time < times; time++) work();
    return Promise.resolve((performance.now() - started) / times);
  };
  const rows = [await compared({
    what: "ALARM, all 37 marginals, from the network as it was read", unit: "ms", better: "smaller", peerName: `${peer.name}, one variable elimination a marginal`, floor: "50 ms", target: "5 ms", rounds: tiny ? 1 : 9, hash: () => hash,
    ours: timed(() => { ours = new JunctionTree(network).beliefs(); }, tiny ? 1 : 100),
    peer: round === null ? null : async () => {
      const { seconds, result } = await round();
      const worst = Math.max(...result.flatMap((states, v) => states.map((value, state) => Math.abs(value - ours.marginals[v]![state]!))));
      if (!(worst < 1e-6)) throw new Error(`ALARM: pgmpy's marginals differ by ${worst}`);
      return seconds * 1000;
    },
  })];
  peer.close();
  const tree = new JunctionTree(network), evidence = evidenceOf(network, { HR: "HIGH", BP: "LOW" });
  rows.push(await compared({ what: "ALARM, all marginals again under other evidence, the tree kept", unit: "ms", better: "smaller", peerName: "none", floor: null, target: null, rounds: tiny ? 1 : 9, hash: () => hash, ours: timed(() => { ours = tree.beliefs(evidence); }, tiny ? 1 : 200), peer: null }));
  return rows;
}

/** Rows drawn from a network. */
export function drawRows(network: BayesianNetwork, rows: number, seed: number): NetworkRows {
  const width = network.variables.length, order = topologicalOrder(network.parents), random = RandomStream.of(seed, "rows");
  const states = new Int16Array(rows * width);
  for (let row = 0; row < rows; row++) drawStates(network, order, random, states.subarray(row * width, (row + 1) * width));
  return { states, rows, weight: null };
}

/** The score of the network's own arcs. */
function trueScore(network: BayesianNetwork, rows: NetworkRows): number {
  const others = network.variables.flatMap((_, from) => network.variables.map((__, to) => [from, to] as const)).filter(([from, to]) => !network.parents[to]!.includes(from));
  return learnStructure(network.variables, rows, { score: "bic", required: network.parents.flatMap((of, to) => of.map((from) => [from, to] as const)), forbidden: others }).score;
}

/** Seeds whose samples the arcs are learned from. */
const SEEDS = 5, SAMPLE = 10_000;

async function structures(tiny: boolean, python: PythonPeer): Promise<readonly BenchRow[]> {
  const found: BenchRow[] = [];
  for (const name of tiny ? (["cancer"] as const) : (["asia", "cancer", "sachs"] as const)) {
    const network = networkOf(name), count = network.variables.length;
    const ours: { readonly classes: number; readonly skeletons: number }[] = [], theirs: (typeof ours)[number][] = [];
    let peerName = "", worse = 0;
    for (let seed = 1; seed <= (tiny ? 1 : SEEDS); seed++) {
      const rows = drawRows(network, tiny ? 500 : SAMPLE, seed);
      const learned = learnStructure(network.variables, rows, { score: "bic" });
      // A lower score than that of the true arcs would be a failure of the search; a higher one says that the rows do not show them.
      if (learned.score < trueScore(network, rows) - 1e-6) worse++;
      ours.push(structuralDistance(learned.parents, network.parents));
      const peer = await python.start<readonly (readonly [number, number])[]>({ script: "network_pgmpy.py", of: "pgmpy", arrays: { rows: { data: rows.states, shape: [rows.rows, count] } }, args: { method: "arcs", score: "bic-d" } });
      peerName = peer.name;
      if (peer.round !== null) {
        const { result } = await peer.round();
        theirs.push(structuralDistance(Array.from({ length: count }, (_, v) => result.filter(([, to]) => to === v).map(([from]) => from)), network.parents));
      }
      peer.close();
    }
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value / values.length, 0);
    const [classes, skeletons] = [mean(ours.map((each) => each.classes)), mean(ours.map((each) => each.skeletons))];
    const se = Math.sqrt(mean(ours.map((each) => (each.classes - classes) ** 2)) / Math.max(1, ours.length - 1));
    found.push({
      what: `${name}: structural Hamming distance of arcs learned by BIC from ${tiny ? 500 : SAMPLE} rows, mean of ${ours.length} samples (se ${se.toFixed(2)}; skeleton ${skeletons.toFixed(1)} off; ${worse} of them scored below the true arcs)`,
      ours: classes, peer: theirs.length === 0 ? null : mean(theirs.map((each) => each.classes)), peerName: `${peerName}, hill climbing, BIC, same samples${theirs.length === 0 ? "" : `; skeleton ${mean(theirs.map((each) => each.skeletons)).toFixed(1)} off`}`,
      ratio: theirs.length === 0 ? null : (mean(theirs.map((each) => each.classes)) + 1) / (classes + 1), unit: "arcs (ratio of distance + 1)", floor: "no score below the true arcs'", target: "skeleton found", hash: hashOf(ours),
    });
  }
  return found;
}

/** P(step | persona, stimulus) on Hillstrom as the network and a run of the whole product state it; null where the data are absent. */
export async function hillstromAgreement(options: { readonly personas: number | "auto"; readonly worlds: number; readonly agents: number; readonly forbidden?: readonly (readonly [string, string])[] }): Promise<ReturnType<typeof compareRates> | null> {
  const data = await readRealData("hillstrom");
  if (data === null) return null;
  const folder = mkdtempSync(join(tmpdir(), "populace-networks-"));
  try {
    const model = fitModel(data.schema, data, { personas: options.personas, worlds: options.worlds });
    writeModel(join(folder, "model.json"), model);
    writeFileSync(join(folder, "study.yaml"), `agents: ${options.agents}\nticks: 1\n`);
    let said = "";
    const code = await runPopulace(["simulate", "--model", join(folder, "model.json"), "--study", join(folder, "study.yaml"), "--store", join(folder, "store"), "--json"], new AbortController().signal, { out: (text) => { said += text; }, err: () => undefined });
    if (code !== 0) throw new Error(`simulate ended with ${code}: ${said.slice(0, 300)}`);
    const { rates } = JSON.parse(said) as { readonly rates: readonly RateRow[] };
    return compareRates(learnCampaignNetwork(data, { model, ...(options.forbidden === undefined ? {} : { forbidden: options.forbidden }) }).learned, rates.filter(({ persona }) => persona !== "*"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function agreement(tiny: boolean): Promise<readonly BenchRow[]> {
  const rows: BenchRow[] = [];
  for (const isFree of tiny ? [false] : [false, true]) {
    const result = await hillstromAgreement({ ...(tiny ? { personas: 3, worlds: 40, agents: 20_000 } : { personas: "auto", worlds: 200, agents: 1_000_000 }), ...(isFree ? { forbidden: [["persona", "visit"]] } : {}) });
    if (result === null) return absent("Hillstrom");
    const agreeing = result.rows.filter(({ agrees }) => agrees).length;
    const disagreement = Math.sqrt(result.rows.reduce((sum, { difference }) => sum + difference ** 2, 0) / result.rows.length);
    rows.push({
      what: `Hillstrom: P(step | persona, stimulus) of network and simulation whose 90 % intervals meet, of ${result.rows.length} (root mean square difference ${disagreement.toFixed(4)})${isFree ? ", without an arc from the persona to the visit" : ""}`,
      ours: agreeing / result.rows.length, peer: null, peerName: "none", ratio: null, unit: "share", floor: isFree ? null : "all within their intervals", target: null, hash: hashOf(result.rows),
    });
  }
  return rows;
}
