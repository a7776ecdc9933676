import { PopulaceError, bayesianNetwork } from "@populace/domain";
import type { ImpossibleState, LearnedNetwork, StatedVariable } from "@populace/domain";
import type { CampaignNetwork, CampaignVariable, VariableRole } from "./campaign-network.ts";
import type { Entry } from "./document.ts";
import { parseEntry, readDocument } from "./document.ts";
import type { AskedNetwork } from "./network-questions.ts";

/** A network from a file: `campaign` tells what its variables stand for where it was learned by `populace network learn`. */
export type NetworkFile = AskedNetwork & { readonly campaign: CampaignNetwork | null };

const FORMAT = "populace network 1";
const ROLES: readonly VariableRole[] = ["attribute", "persona", "stimulus", "stimulus part", "step"];
const LEARNING_KEYS = ["rows", "completeRows", "missing", "score", "scoreValue", "search", "rounds"];

/** The network with its counts as the text of a network file: JSON that people may read, and write without counts. */
export function networkText({ variables, learned, evidence, learning, personas, notes }: CampaignNetwork): string {
  const { network, counts, prior, observed, impossible } = learned;
  const document = {
    format: FORMAT, name: network.name, evidence, learning, personas, notes, impossible,
    variables: variables.map(({ name, role, unit, states, edges }, v) => ({
      name, role, unit, states, edges, parents: network.parents[v].map((parent) => variables[parent].name), observed: observed[v],
      table: Array.from(network.tables[v]), counts: Array.from(counts[v]), prior: Array.from(prior[v]),
    })),
  };
  return `${JSON.stringify(document)}\n`;
}

/**
 * Reads a network file, JSON or YAML: `name`, and under `variables` a list of `name`, `states`, `parents` and `table` (one row a
 * configuration of the parents, the first of them slowest), and what `networkText` adds. FILE_MISSING, or BAD_NETWORK with file, line and key.
 */
export function readNetwork(path: string): NetworkFile {
  return networkFrom(readDocument(path, "BAD_NETWORK"));
}

/** The same from text; `path` only names it in messages. */
export function parseNetwork(text: string, path = "network.json"): NetworkFile {
  return networkFrom(parseEntry(text, path, "BAD_NETWORK"));
}

function networkFrom(root: Entry): NetworkFile {
  root.only(["format", "name", "evidence", "learning", "personas", "notes", "impossible", "variables"]);
  root.at("format").oneOf([FORMAT], FORMAT);
  const entries = root.at("variables").list();
  if (entries.length === 0) root.at("variables").fail("expected a list of variables, each with name, states, parents and table");
  const numbers = (entry: Entry): Float64Array => Float64Array.from(entry.list(), (each) => each.number());
  const stated = entries.map((entry): StatedVariable & { readonly entry: Entry } => {
    entry.only(["name", "states", "parents", "table", "role", "unit", "edges", "observed", "counts", "prior"]);
    return { entry, name: entry.at("name").text(), states: entry.at("states").texts([]), parents: entry.at("parents").texts([]), table: numbers(entry.at("table")) };
  });
  let network;
  try {
    network = bayesianNetwork(root.at("name").text("unnamed"), stated);
  } catch (error) {
    if (!(error instanceof PopulaceError)) throw error;
    const place = stated.find(({ name }) => name === error.details["variable"])?.entry ?? root.at("variables");
    return place.fail(error.message);
  }
  if (root.at("learning").absent) return { network, learned: null, campaign: null };

  const variables = stated.map(({ entry, name, states }): CampaignVariable => ({
    name, states, role: entry.at("role").oneOf(ROLES), unit: entry.at("unit").text(""), edges: entry.at("edges").list().map((edge) => edge.number()),
  }));
  variables.forEach(({ edges, states }, v) => { if (edges.length > 0 && edges.length !== states.length - 1) stated[v].entry.at("edges").fail(`expected ${states.length - 1} edges of ${states.length} bins; found ${edges.length}`); });
  const sized = (key: string): readonly Float64Array[] => stated.map(({ entry, table }) => {
    const values = numbers(entry.at(key));
    if (values.length !== table.length || values.some((value) => value < 0)) entry.at(key).fail(`expected ${table.length} numbers of at least 0, one an entry of the table`);
    return values;
  });
  const [counts, prior] = [sized("counts"), sized("prior")];
  network.tables.forEach((table, v) => {
    const states = variables[v].states.length;
    for (let start = 0; start < table.length; start += states) {
      const total = counts[v].subarray(start, start + states).reduce((sum, count, at) => sum + count + prior[v][start + at], 0);
      for (let at = start; at < start + states; at++) if (!(Math.abs(table[at] * total - counts[v][at] - prior[v][at]) <= 1e-9 * total)) stated[v].entry.at("table").fail(`entry ${at + 1} is not what its counts and prior give; take counts, prior and \`learning\` out to state tables by hand`);
    }
  });
  const impossible = root.at("impossible").list().map((entry): ImpossibleState => {
    entry.only(["variable", "state", "parent", "parentState"]);
    const index = (key: string, max: number): number => entry.at(key).number({ integer: true, min: 0, max });
    const variable = index("variable", variables.length - 1), parent = index("parent", variables.length - 1);
    return { variable, state: index("state", variables[variable].states.length - 1), parent, parentState: index("parentState", variables[parent].states.length - 1) };
  });
  const learned: LearnedNetwork = { network, counts, prior, impossible, observed: stated.map(({ entry }) => entry.at("observed").number({ min: 0, max: 1, absent: 1 })) };
  const learning = root.at("learning").only(LEARNING_KEYS);
  const campaign: CampaignNetwork = {
    variables, learned,
    evidence: root.at("evidence").oneOf(["randomized", "logged", "observational"] as const),
    learning: {
      rows: learning.at("rows").number(), completeRows: learning.at("completeRows").number(), missing: learning.at("missing").oneOf(["drop", "em"] as const), score: learning.at("score").oneOf(["bdeu", "bic"] as const),
      scoreValue: learning.at("scoreValue").number(), search: learning.at("search").oneOf(["hill-climbing", "tabu"] as const), rounds: learning.at("rounds").number(),
    },
    personas: Object.fromEntries(root.at("personas").entries().map(([id, name]) => [id, name.text()])),
    notes: root.at("notes").texts([]),
  };
  return { network, learned, campaign };
}
