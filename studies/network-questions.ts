import { JunctionTree, PopulaceError, RandomStream, drawTables, evidenceOf, mostProbable, stateIndex, variableIndex } from "@populace/domain";
import type { BayesianNetwork, LearnedNetwork, NetworkEvidence } from "@populace/domain";
import { quantileOfSorted } from "./rates.ts";

/** What is asked about: a network, and its counts where it was learned, without which there are no intervals. */
export interface AskedNetwork {
  readonly network: BayesianNetwork;
  readonly learned: LearnedNetwork | null;
}

export interface NetworkQuestion {
  /** Names of variables; several ask for their joint distribution. */
  readonly query: readonly string[];
  readonly evidence: Readonly<Record<string, string>>;
  readonly soft?: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Posterior draws of the tables behind the intervals; default 200. */
  readonly draws?: number;
  readonly seed?: number;
}

export interface NetworkAnswer {
  /** One a joint state, the first queried variable slowest. */
  readonly states: readonly { readonly names: readonly string[]; readonly probability: number; readonly interval: Interval | null }[];
  readonly pEvidence: number;
}

interface Interval {
  readonly low: number;
  readonly high: number;
}

const DRAWS = 200;

/** P(query | evidence) with 90 % intervals over draws of the tables. NOT_FOUND for unknown names, IMPOSSIBLE_EVIDENCE, TOO_LARGE. */
export function askNetwork({ network, learned }: AskedNetwork, { query, evidence, soft = {}, draws = DRAWS, seed = 1 }: NetworkQuestion): NetworkAnswer {
  const together = query.map((name) => variableIndex(network, name));
  if (new Set(together).size !== together.length) throw new PopulaceError("BAD_USAGE", `the query names a variable twice: ${query.join(", ")}`, {});
  const known = evidenceOf(network, evidence, soft);
  const tree = new JunctionTree(network, together);
  const beliefs = tree.beliefs(known);
  const joints = learned === null ? null : drawn(tree, learned, known, draws, seed);
  const cards = together.map((v) => network.variables[v].states.length);
  return {
    states: [...beliefs.joint].map((probability, entry) => ({
      names: namesOf(network, together, cards, entry),
      probability,
      interval: joints === null ? null : intervalOf(joints.map((joint) => joint[entry])),
    })),
    pEvidence: Math.exp(beliefs.logEvidence),
  };
}

function drawn(tree: JunctionTree, learned: LearnedNetwork, evidence: NetworkEvidence, draws: number, seed: number): readonly Float64Array[] {
  const random = RandomStream.of(seed, "network tables");
  return Array.from({ length: draws }, () => tree.beliefs(evidence, drawTables(learned, random)).joint);
}

function intervalOf(values: readonly number[]): Interval {
  const sorted = Float64Array.from(values).sort();
  return { low: quantileOfSorted(sorted, 0.05), high: quantileOfSorted(sorted, 0.95) };
}

function namesOf(network: BayesianNetwork, variables: readonly number[], cards: readonly number[], entry: number): readonly string[] {
  const names: string[] = [];
  for (let at = variables.length - 1; at >= 0; at--) {
    names.unshift(network.variables[variables[at]].states[entry % cards[at]]);
    entry = Math.floor(entry / cards[at]);
  }
  return names;
}

/** The likeliest joint states of some variables given evidence, all that are not in evidence when none are named. Errors as `askNetwork`. */
export function explainEvidence({ network }: AskedNetwork, variables: readonly string[], question: Pick<NetworkQuestion, "evidence" | "soft">): { readonly states: Readonly<Record<string, string>>; readonly probability: number } {
  const found = mostProbable(network, variables.length === 0 ? null : variables.map((name) => variableIndex(network, name)), evidenceOf(network, question.evidence, question.soft));
  return { states: Object.fromEntries(found.variables.map((v, at) => [network.variables[v].name, network.variables[v].states[found.states[at]]])), probability: Math.exp(found.logProbability) };
}

/** A rate with its 90 % interval, null where the network has no counts. */
export interface NetworkRate {
  readonly mean: number;
  readonly interval: Interval | null;
}

/** What one variable says about a persona's response. */
export interface PersonaInfluence {
  readonly variable: string;
  /** What the persona's own mix of this variable's states adds to the rate of everyone: sum of (share in the persona - share of all) x rate of all with that state. */
  readonly pull: NetworkRate;
  /** Standard deviation of the rate over the states inside the persona; 0 where the network knows no such dependence. */
  readonly within: number;
  readonly states: readonly {
    readonly state: string;
    readonly shareInPersona: number;
    readonly shareOfAll: number;
    readonly rateInPersona: NetworkRate;
    readonly rateOfAll: NetworkRate;
  }[];
}

export interface PersonaExplanation {
  readonly persona: string;
  readonly step: string;
  readonly inPersona: NetworkRate;
  readonly ofAll: NetworkRate;
  /** Largest pull or spread first. */
  readonly influences: readonly PersonaInfluence[];
}

/** States rarer than this both in the persona and in all are not listed. */
const SHARE_MIN = 0.005;

/**
 * Why a persona answers as it does, by queries alone: for each of `among` how far its mix in the persona pulls the rate of everyone, and
 * how much it moves the rate inside the persona. `evidence` holds for both sides (such as one stimulus). Errors as `askNetwork`.
 */
export function explainPersona(
  { network, learned }: AskedNetwork, { persona, step, among, evidence = {} }: { readonly persona: string; readonly step: string; readonly among: readonly string[]; readonly evidence?: Readonly<Record<string, string>> },
  { draws = DRAWS, seed = 1 }: Pick<NetworkQuestion, "draws" | "seed"> = {},
): PersonaExplanation {
  const outcome = variableIndex(network, step), yes = stateIndex(network.variables[outcome], "yes");
  const all = evidenceOf(network, evidence), inside = evidenceOf(network, { ...evidence, persona });
  // The same tables in every question, so that differences compare like with like; the last are the means.
  const random = RandomStream.of(seed, "network tables");
  const worlds = [...(learned === null ? [] : Array.from({ length: draws }, () => drawTables(learned, random))), network.tables];
  const estimate = (values: readonly number[]): NetworkRate => ({ mean: values.at(-1)!, interval: learned === null ? null : intervalOf(values.slice(0, -1)) });
  const plain = new JunctionTree(network);
  const rateIn = (known: NetworkEvidence): NetworkRate => estimate(worlds.map((tables) => plain.beliefs(known, tables).marginals[outcome][yes]));
  const found = among.filter((name) => !Object.hasOwn(evidence, name)).map((name): PersonaInfluence => {
    const v = variableIndex(network, name), { states } = network.variables[v], outcomes = network.variables[outcome].states.length;
    const tree = new JunctionTree(network, [v, outcome]);
    const read = (known: NetworkEvidence) => worlds.map((tables) => {
      const { joint } = tree.beliefs(known, tables);
      const share = states.map((_, x) => joint.subarray(x * outcomes, (x + 1) * outcomes).reduce((sum, value) => sum + value, 0));
      return { share, rate: share.map((each, x) => (each === 0 ? 0 : joint[x * outcomes + yes] / each)) };
    });
    const [ours, everyone] = [read(inside), read(all)];
    const [own, whole] = [ours.at(-1)!, everyone.at(-1)!];
    const average = own.share.reduce((sum, share, x) => sum + share * own.rate[x], 0);
    return {
      variable: name,
      pull: estimate(ours.map(({ share }, world) => share.reduce((sum, each, x) => sum + (each - everyone[world].share[x]) * everyone[world].rate[x], 0))),
      within: Math.sqrt(own.share.reduce((sum, share, x) => sum + share * (own.rate[x] - average) ** 2, 0)),
      states: states.flatMap((state, x) => (Math.max(own.share[x], whole.share[x]) < SHARE_MIN ? [] : [{
        state, shareInPersona: own.share[x], shareOfAll: whole.share[x], rateInPersona: estimate(ours.map(({ rate }) => rate[x])), rateOfAll: estimate(everyone.map(({ rate }) => rate[x])),
      }])),
    };
  });
  const size = ({ pull, within }: PersonaInfluence): number => Math.max(Math.abs(pull.mean), within);
  return { persona, step, inPersona: rateIn(inside), ofAll: rateIn(all), influences: found.toSorted((a, b) => size(b) - size(a)) };
}

/** A rate of a run beside the network's answer to the same question. */
export interface RateComparison {
  readonly persona: string;
  readonly stimulus: string;
  readonly step: string;
  readonly simulated: Interval & { readonly mean: number };
  readonly network: Interval & { readonly mean: number };
  /** Network less simulated. */
  readonly difference: number;
  /** Whether the two 90 % intervals meet. */
  readonly agrees: boolean;
}

/**
 * The rates of a run (by ids of persona and stimulus, one exposure each) beside P(step | persona, stimulus) of a learned network. Rates of
 * personas or stimuli that the network does not know are left out and counted. DEGENERATE_DATA when it knows none.
 */
export function compareRates(
  learned: LearnedNetwork, rates: readonly { readonly persona: string; readonly stimulus: string; readonly step: string; readonly mean: number; readonly low: number; readonly high: number }[],
  { draws = DRAWS, seed = 1 }: Pick<NetworkQuestion, "draws" | "seed"> = {},
): { readonly rows: readonly RateComparison[]; readonly leftOut: number } {
  const { network } = learned;
  const has = (name: string, state: string): boolean => network.variables.some((variable) => variable.name === name && variable.states.includes(state));
  const known = rates.filter(({ persona, stimulus, step }) => has("persona", persona) && has("stimulus", stimulus) && has(step, "yes"));
  if (known.length === 0) throw new PopulaceError("DEGENERATE_DATA", `network "${network.name}": it knows none of the personas, stimuli and steps of the run; learn it with --model of the run's model`, { network: network.name });
  const random = RandomStream.of(seed, "network tables"), tree = new JunctionTree(network);
  const worlds = Array.from({ length: draws }, () => drawTables(learned, random));
  const cells = new Map<string, { readonly means: readonly Float64Array[]; readonly drawn: readonly (readonly Float64Array[])[] }>();
  const rows = known.map(({ persona, stimulus, step, mean, low, high }): RateComparison => {
    const evidence = evidenceOf(network, { persona, stimulus }), key = JSON.stringify([persona, stimulus]);
    const cell = cells.get(key) ?? { means: tree.beliefs(evidence).marginals, drawn: worlds.map((tables) => tree.beliefs(evidence, tables).marginals) };
    cells.set(key, cell);
    const v = variableIndex(network, step), yes = stateIndex(network.variables[v], "yes");
    const ours = { mean: cell.means[v][yes], ...intervalOf(cell.drawn.map((marginals) => marginals[v][yes])) };
    return { persona, stimulus, step, simulated: { mean, low, high }, network: ours, difference: ours.mean - mean, agrees: ours.low <= high && low <= ours.high };
  });
  return { rows, leftOut: rates.length - known.length };
}
