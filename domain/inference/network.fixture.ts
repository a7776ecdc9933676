// Random networks and brute force over all their states: independent of both algorithms, and slow.
import { bayesianNetwork } from "./bayesian-network.ts";
import type { BayesianNetwork, NetworkEvidence, StatedVariable } from "./bayesian-network.ts";
import type { RandomStream } from "../random/random-stream.ts";

/** A network of `count` variables with 2 to 4 states and at most 3 parents; `zeros` is the share of probabilities that are 0. */
export function randomNetwork(count: number, random: RandomStream, zeros = 0): BayesianNetwork {
  const stated: StatedVariable[] = [];
  for (let v = 0; v < count; v++) {
    const parents = Array.from({ length: Math.min(v, random.integer(4)) }, () => stated[random.integer(v)]);
    const unique = [...new Set(parents)];
    const states = Array.from({ length: 2 + random.integer(3) }, (_, state) => `s${state}`);
    const rows = unique.reduce((product, parent) => product * parent.states.length, 1);
    const table: number[] = [];
    for (let row = 0; row < rows; row++) {
      const weights = states.map(() => (random.uniform() < zeros ? 0 : random.uniform()));
      weights[random.integer(states.length)] += 0.1;
      const sum = weights.reduce((total, weight) => total + weight, 0);
      table.push(...weights.map((weight) => weight / sum));
    }
    stated.push({ name: `v${v}`, states, parents: unique.map((parent) => parent.name), table });
  }
  // Out of order, so that nothing relies on parents coming first.
  random.shuffle(stated);
  return bayesianNetwork("random", stated);
}

/** Calls `visit` with every joint state and P(state, evidence). */
export function everyState(network: BayesianNetwork, evidence: NetworkEvidence, visit: (states: readonly number[], probability: number) => void): void {
  const states = network.variables.map(() => 0);
  const walk = (v: number): void => {
    if (v < states.length) {
      for (let state = 0; state < network.variables[v].states.length; state++) {
        states[v] = state;
        walk(v + 1);
      }
      return;
    }
    let probability = 1;
    network.variables.forEach((variable, child) => {
      const row = network.parents[child].reduce((at, parent) => at * network.variables[parent].states.length + states[parent], 0);
      probability *= network.tables[child][row * variable.states.length + states[child]] * (evidence.get(child)?.[states[child]] ?? 1);
    });
    visit(states, probability);
  };
  walk(0);
}
