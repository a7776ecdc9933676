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

/** How one variable moves a response: its states as far as they occur. */
export interface Influence {
  readonly variable: string;
  /** Standard deviation of the rate over the variable's states, each as often as it occurs. */
  readonly spread: number;
  readonly states: readonly {
    readonly state: string;
    /** How often it occurs under the evidence. */
    readonly share: number;
    readonly rate: number;
    readonly interval: Interval | null;
    /** Rate less the rate without knowing this state. */
    readonly shift: number;
    readonly shiftInterval: Interval | null;
  }[];
}

/** States rarer than this are not listed. */
const SHARE_MIN = 0.01;

/**
 * What moves P(response in this state) most under the evidence (such as one persona): each of `among` by the spread of the rate over its
 * states, largest first. Variables in the evidence are left out. Errors as `askNetwork`.
 */
export function influences(
  asked: AskedNetwork, response: { readonly variable: string; readonly state: string }, among: readonly string[], { evidence, draws = DRAWS, seed = 1 }: Pick<NetworkQuestion, "evidence" | "draws" | "seed">,
): { readonly rate: number; readonly interval: Interval | null; readonly influences: readonly Influence[] } {
  const { network, learned } = asked;
  const outcome = variableIndex(network, response.variable), state = stateIndex(network.variables[outcome], response.state);
  const known = evidenceOf(network, evidence);
  const one = askNetwork(asked, { query: [response.variable], evidence, draws, seed }).states[state];
  const found = among.filter((name) => !Object.hasOwn(evidence, name) && name !== response.variable).map((name): Influence => {
    const v = variableIndex(network, name), tree = new JunctionTree(network, [v, outcome]);
    const { states } = network.variables[v], outcomes = network.variables[outcome].states.length;
    const read = (joint: Float64Array): { readonly share: number; readonly rate: number }[] => states.map((_, x) => {
      const row = joint.subarray(x * outcomes, (x + 1) * outcomes), share = row.reduce((sum, value) => sum + value, 0);
      return { share, rate: share === 0 ? 0 : row[state] / share };
    });
    const total = (of: readonly { readonly share: number; readonly rate: number }[]): number => of.reduce((sum, { share, rate }) => sum + share * rate, 0);
    const here = read(tree.beliefs(known).joint);
    // The same tables in every question, so that shifts compare like with like.
    const worlds = learned === null ? null : drawn(tree, learned, known, draws, seed).map(read);
    const average = total(here);
    return {
      variable: name,
      spread: Math.sqrt(here.reduce((sum, { share, rate }) => sum + share * (rate - average) ** 2, 0)),
      states: here.flatMap(({ share, rate }, x) => (share < SHARE_MIN ? [] : [{
        state: states[x], share, rate, shift: rate - average,
        interval: worlds === null ? null : intervalOf(worlds.map((world) => world[x].rate)),
        shiftInterval: worlds === null ? null : intervalOf(worlds.map((world) => world[x].rate - total(world))),
      }])),
    };
  });
  return { rate: one.probability, interval: one.interval, influences: found.toSorted((a, b) => b.spread - a.spread) };
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
  options: Pick<NetworkQuestion, "draws" | "seed"> = {},
): { readonly rows: readonly RateComparison[]; readonly leftOut: number } {
  const { network } = learned;
  const has = (name: string, state: string): boolean => network.variables.some((variable) => variable.name === name && variable.states.includes(state));
  const known = rates.filter(({ persona, stimulus, step }) => has("persona", persona) && has("stimulus", stimulus) && has(step, "yes"));
  if (known.length === 0) throw new PopulaceError("DEGENERATE_DATA", `network "${network.name}": it knows none of the personas, stimuli and steps of the run; learn it with --model of the run's model`, { network: network.name });
  const rows = known.map(({ persona, stimulus, step, mean, low, high }): RateComparison => {
    const yes = askNetwork({ network, learned }, { query: [step], evidence: { persona, stimulus }, ...options }).states.find(({ names }) => names[0] === "yes")!;
    const ours = { mean: yes.probability, ...yes.interval! };
    return { persona, stimulus, step, simulated: { mean, low, high }, network: ours, difference: ours.mean - mean, agrees: ours.low <= high && low <= ours.high };
  });
  return { rows, leftOut: rates.length - known.length };
}
