import { InvalidArgumentError } from "commander";
import { PopulaceError } from "@populace/domain";
import type { CampaignNetwork, CampaignVariable, NetworkFile, NetworkRate } from "@populace/studies";
import { list, oneOf, whole } from "../arguments.ts";
import type { CommandDefinition } from "../command.ts";
import { count, duration, paint, percent, plain, rateText, shortened, table } from "../output.ts";
import { OBSERVATIONAL } from "../report/wording.ts";

type Arcs = readonly (readonly [string, string])[];

/** Parser of "a->b,c->d", added to what an earlier option of the same name gave. */
const arcs = (text: string, before: Arcs = []): Arcs => [...before, ...list(text).map((arc) => {
  const [from, to, ...rest] = arc.split("->").map((name) => name.trim());
  if (from === undefined || from === "" || to === undefined || to === "" || rest.length > 0) throw new InvalidArgumentError('Expected arcs such as "channel->visit,recency->visit".');
  return [from, to] as const;
})];

const assignments = (text: string, before: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> => {
  const found = new Map(Object.entries(before));
  for (const entry of list(text)) {
    const at = entry.indexOf("=");
    const [name, state] = [entry.slice(0, at).trim(), entry.slice(at + 1).trim()];
    if (at < 1 || state === "") throw new InvalidArgumentError("Expected variable=state,variable=state.");
    if (found.has(name)) throw new InvalidArgumentError(`"${name}" is given twice.`);
    found.set(name, state);
  }
  return Object.fromEntries(found);
};

type Likelihoods = Readonly<Record<string, Readonly<Record<string, number>>>>;

const likelihoods = (text: string): Likelihoods => Object.fromEntries(Object.entries(assignments(text)).map(([name, states]) => [name, Object.fromEntries(states.split("/").map((part) => {
  const at = part.lastIndexOf(":"), value = part.slice(at + 1).trim();
  if (at < 1 || !/^(\d+\.?\d*|\.\d+)(e-?\d+)?$/i.test(value)) throw new InvalidArgumentError("Expected variable=state:likelihood/state:likelihood, such as smoke=yes:0.7/no:0.3.");
  return [part.slice(0, at).trim(), Number(value)];
}))]));

/** Names of states with what people may say in their place: a number of a binned attribute, a persona by its name. */
function stateNames(file: NetworkFile, evidence: Readonly<Record<string, string>>, binOf: (edges: readonly number[], value: number) => number): Readonly<Record<string, string>> {
  const { campaign } = file;
  if (campaign === null) return evidence;
  return Object.fromEntries(Object.entries(evidence).map(([name, state]) => {
    const variable = campaign.variables.find((each) => each.name === name);
    if (variable === undefined || variable.states.includes(state)) return [name, state];
    if (variable.edges.length > 0 && /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(state)) return [name, variable.states[binOf(variable.edges, Number(state))]];
    const named = variable.role === "persona" ? Object.entries(campaign.personas).filter(([, each]) => each === state) : [];
    return [name, named.length === 1 ? named[0][0] : state];
  }));
}

async function readEither(options: { readonly bif?: string; readonly network?: string }): Promise<NetworkFile> {
  const { readBif, readNetwork } = await import("@populace/studies");
  if ((options.bif === undefined) === (options.network === undefined)) throw new PopulaceError("BAD_USAGE", "name the network: either --network FILE or --bif FILE");
  return options.bif === undefined ? readNetwork(options.network!) : { network: readBif(options.bif), learned: null, campaign: null };
}

const noteLines = (notes: readonly string[]): readonly string[] => notes.map((note) => paint("yellow", `note: ${plain(note)}`));
const observationalLines = (campaign: CampaignNetwork | null): readonly string[] => (campaign?.evidence === "observational" ? [paint("yellow", OBSERVATIONAL)] : []);
const rateOf = ({ mean, interval }: NetworkRate): string => (interval === null ? percent(mean) : rateText({ mean, ...interval }));

interface QueryOptions {
  readonly bif?: string;
  readonly network?: string;
  readonly query?: readonly string[];
  readonly evidence?: Readonly<Record<string, string>>;
  readonly soft?: Likelihoods;
  readonly map?: readonly string[] | true;
  readonly draws?: number;
}

export const networkQueryCommand: CommandDefinition<QueryOptions> = {
  name: "query",
  summary: "ask a network: posteriors, joint ones, likeliest explanations",
  examples: [
    "populace network query --bif asia.bif --evidence smoke=yes,xray=yes --query lung",
    "populace network query --bif asia.bif --query lung,bronc --soft smoke=yes:0.7/no:0.3 --map",
    "populace network query --network network.json --evidence stimulus=mens-email,recency=3 --query visit",
  ],
  configure: (command) => command
    .option("--network <file>", "a network written by `populace network learn`, or by hand")
    .option("--bif <file>", "a network in the Bayesian Interchange Format")
    .option("--query <variables>", "names; several ask for their joint distribution (default: each variable by itself)", list)
    .option("--evidence <states>", "variable=state,...; a number does for an attribute in bins", assignments)
    .option("--soft <likelihoods>", "variable=state:likelihood/state:likelihood,...", likelihoods)
    .option("--map [variables]", "also the likeliest states of these together (default: of all that is not in evidence)", list)
    .option("--draws <number>", "posterior draws behind the intervals of a learned network (default: 200)", whole(20, 100_000)),
  async run(context, options) {
    const { askNetwork, binOf, explainEvidence } = await import("@populace/studies");
    const file = await readEither(options);
    const evidence = stateNames(file, options.evidence ?? {}, binOf), soft = options.soft ?? {};
    const common = { evidence, soft, ...(options.draws === undefined ? {} : { draws: options.draws }), ...(context.seed === null ? {} : { seed: context.seed }) };
    const asked = options.query === undefined ? file.network.variables.map(({ name }) => [name]) : [options.query];
    const answers = context.blocking(() => asked.map((query) => ({ query, ...askNetwork(file, { ...common, query }) })));
    const map = options.map === undefined ? null : context.blocking(() => explainEvidence(file, options.map === true ? [] : options.map!, common));
    const key = (names: readonly string[]): string => names.join("|");
    const documents = answers.map(({ query, states }) => ({
      query,
      posterior: Object.fromEntries(states.map(({ names, probability }) => [key(names), probability])),
      intervals: file.learned === null ? null : Object.fromEntries(states.map(({ names, interval }) => [key(names), interval])),
    }));
    const { pEvidence } = answers[0];
    const notes = [...file.network.notes, ...(file.campaign?.notes ?? [])];
    const rows = answers.flatMap(({ query, states }) => states.map(({ names, probability, interval }) => [plain(query.join(", ")), plain(names.join(", ")), rateOf({ mean: probability, interval })]));
    const shown = shortened(rows, 120, "states");
    return {
      json: {
        ...(options.query === undefined ? { posteriors: documents } : documents[0]), pEvidence, evidence, soft, map,
        label: file.learned === null ? "as stated" : file.campaign?.evidence, rows: file.campaign?.learning.rows ?? null, notes,
      },
      lines: [
        ...table([{ title: "variable" }, { title: "state" }, { title: file.learned === null ? "probability" : "probability [90 % interval]", align: "right" }], shown.rows), ...shown.rest, "",
        ...(map === null ? [] : [`likeliest together (${percent(map.probability)}): ${Object.entries(map.states).map(([name, state]) => `${plain(name)}=${plain(state)}`).join(", ")}`]),
        `probability of the evidence: ${pEvidence.toPrecision(6)}`,
        file.campaign === null ? "the network's tables are taken as stated: no interval without counts" : `learned from ${count(file.campaign.learning.rows)} rows; intervals hold what the tables leave open, not which arcs there are`,
        ...noteLines(notes), ...observationalLines(file.campaign),
      ],
    };
  },
};

interface LearnOptions {
  readonly schema?: string;
  readonly data: string;
  readonly out: string;
  readonly bif?: string;
  readonly draw?: string;
  readonly model?: string;
  readonly require?: Arcs;
  readonly forbid?: Arcs;
  readonly score: "bdeu" | "bic";
  readonly search: "hill-climbing" | "tabu";
  readonly parentsMax: number;
  readonly bins: number;
  readonly missing: "drop" | "em";
}

export const networkLearnCommand: CommandDefinition<LearnOptions> = {
  name: "learn",
  summary: "a network of attributes, stimulus and funnel from campaign data",
  examples: [
    "populace network learn --schema cli/examples/hillstrom.yaml --data hillstrom.csv.gz --out network.json",
    'populace network learn --model model.json --data log.csv --out network.json --require "recency->visit" --missing em',
  ],
  configure: (command) => command
    .option("--schema <file>", "YAML or JSON: what the columns of the data mean (default: the model's)")
    .requiredOption("--data <file>", "CSV, CSV.gz or Parquet")
    .requiredOption("--out <file>", "where to write the network, with its counts")
    .option("--bif <file>", "also write it in the Bayesian Interchange Format, without counts")
    .option("--draw <file>", "also write a drawing of its arcs (.svg)")
    .option("--model <file>", "adds the closest persona of each recipient as a variable")
    .option("--require <arcs>", '"a->b,c->d": arcs that must be there', arcs)
    .option("--forbid <arcs>", "arcs that must not", arcs)
    .option("--score <bdeu|bic>", "what is best", oneOf("bdeu", "bic"), "bdeu")
    .option("--search <method>", "hill-climbing or tabu", oneOf("hill-climbing", "tabu"), "tabu")
    .option("--parents-max <number>", "parents of a variable at most", whole(1, 12), 4)
    .option("--bins <number>", "bins of a numeric attribute, with about equally many rows each", whole(2, 100), 4)
    .option("--missing <drop|em>", "rows with missing values: left out, or filled in by expectation maximization, for arcs and tables", oneOf("drop", "em"), "drop"),
  async run(context, options) {
    const { bifText, learnCampaignNetwork, networkText, readDataset, readModel, readSchema } = await import("@populace/studies");
    const { writeFileAtomic } = await import("@populace/io");
    const startedMs = performance.now();
    const model = options.model === undefined ? undefined : readModel(options.model);
    if (options.schema === undefined && model === undefined) throw new PopulaceError("BAD_USAGE", "name what the columns mean: --schema FILE, or --model FILE for the model's own schema");
    const schema = options.schema === undefined ? model!.schema : readSchema(options.schema);
    const reading = context.progress("reading", "B");
    const dataset = await readDataset(schema, options.data, { onProgress: ({ bytes, bytesTotal }) => reading.update(bytes, bytesTotal) }).finally(() => reading.stop());
    context.signal.throwIfAborted();
    const { score, search, parentsMax, bins, missing } = options;
    const campaign = context.blocking(() => learnCampaignNetwork(dataset, { model, score, search, parentsMax, bins, missing, required: options.require ?? [], forbidden: options.forbid ?? [] }));
    writeFileAtomic(options.out, networkText(campaign));
    if (options.bif !== undefined) writeFileAtomic(options.bif, bifText(campaign.learned.network));
    if (options.draw !== undefined) {
      const { networkDrawing } = await import("../report/network-figure.ts");
      const { standaloneSvg } = await import("../report/page.ts");
      writeFileAtomic(options.draw, standaloneSvg(networkDrawing(campaign.variables, campaign.learned.network.parents)));
    }
    const { network } = campaign.learned;
    const found = network.parents.flatMap((parents, v) => parents.map((parent) => ({ from: network.variables[parent].name, to: network.variables[v].name })));
    const tables = await tablesOf(campaign);
    const shown = shortened(tables.filter(({ role }) => role === "step").flatMap(({ variable, rows }) => rows.map((row) => ({ variable, row }))), 40, "rows of the funnel's tables");
    return {
      json: {
        arcs: found, score: { kind: score, value: campaign.learning.scoreValue }, rows: campaign.learning.rows, completeRows: campaign.learning.completeRows, rounds: campaign.learning.rounds,
        variables: campaign.variables, tables, evidence: campaign.evidence, notes: campaign.notes, rejected: dataset.rejectedCount, noConsent: dataset.noConsent, out: options.out, bif: options.bif ?? null, draw: options.draw ?? null,
      },
      lines: [
        ...table(
          [{ title: "variable" }, { title: "parents" }, { title: "states" }],
          campaign.variables.map((variable, v) => [plain(variable.name), network.parents[v].map((parent) => plain(network.variables[parent].name)).join(", ") || "-", statesText(variable)]),
        ), "",
        ...table(
          [{ title: "step" }, { title: "given" }, { title: "yes [90 % interval]", align: "right" }, { title: "rows", align: "right" }],
          shown.rows.map(({ variable, row }) => [plain(variable), plain(Object.entries(row.given).map(([name, state]) => `${name}=${state}`).join(", ")), rateText(row.probabilities["yes"]), count(row.count)]),
        ), ...shown.rest, "",
        `${found.length} arcs, ${score} ${campaign.learning.scoreValue.toFixed(1)}, from ${count(campaign.learning.rows)} rows${missing === "em" ? `, ${campaign.learning.rounds} rounds of expectation maximization` : ""} (${duration((performance.now() - startedMs) / 1000)})`,
        ...noteLines(campaign.notes), ...observationalLines(campaign),
        `network written to ${paint("bold", options.out)}${options.bif === undefined ? "" : `, as BIF to ${options.bif}`}${options.draw === undefined ? "" : `, drawn in ${options.draw}`}`,
      ],
    };
  },
};

const statesText = ({ states, unit }: CampaignVariable): string => plain(`${states.join(" ")}${unit === "" ? "" : ` (${unit})`}`);

interface TableRow {
  readonly given: Readonly<Record<string, string>>;
  /** Rows of the data that fell here. */
  readonly count: number;
  readonly probabilities: Readonly<Record<string, { readonly mean: number; readonly low: number; readonly high: number }>>;
}

/** Every table with the 90 % interval of each entry. */
async function tablesOf({ variables, learned }: CampaignNetwork): Promise<readonly { readonly variable: string; readonly role: CampaignVariable["role"]; readonly rows: readonly TableRow[] }[]> {
  const { entryInterval } = await import("@populace/domain");
  const { network, counts } = learned;
  return variables.map(({ name, role, states }, v) => ({
    variable: name, role,
    rows: Array.from({ length: network.tables[v].length / states.length }, (_, row): TableRow => {
      const given: [string, string][] = [];
      let rest = row;
      for (const parent of network.parents[v].toReversed()) {
        given.unshift([variables[parent].name, variables[parent].states[rest % variables[parent].states.length]]);
        rest = Math.floor(rest / variables[parent].states.length);
      }
      return {
        given: Object.fromEntries(given),
        count: counts[v].subarray(row * states.length, (row + 1) * states.length).reduce((sum, value) => sum + value, 0),
        probabilities: Object.fromEntries(states.map((state, at) => [state, { mean: network.tables[v][row * states.length + at], ...entryInterval(learned, v, row, at) }])),
      };
    }),
  }));
}

interface ExplainOptions {
  readonly network: string;
  readonly persona: string;
  readonly step?: string;
  readonly evidence?: Readonly<Record<string, string>>;
  readonly draws?: number;
  readonly out?: string;
}

/** The campaign's part of a file, or BAD_USAGE with what makes one. */
function campaignOf(file: NetworkFile, path: string): CampaignNetwork {
  if (file.campaign === null || !file.campaign.variables.some(({ role }) => role === "persona")) {
    throw new PopulaceError("BAD_USAGE", `${path}: knows no personas; learn it with \`populace network learn --model MODEL\``, { file: path });
  }
  return file.campaign;
}

export const networkExplainCommand: CommandDefinition<ExplainOptions> = {
  name: "explain",
  summary: "why a persona responds as it does, by queries to a network",
  examples: [
    "populace network explain --network network.json --persona p1",
    "populace network explain --network network.json --persona p1 --step conversion --evidence stimulus=mens-email --out p1.html",
  ],
  configure: (command) => command
    .requiredOption("--network <file>", "a network written by `populace network learn --model`")
    .requiredOption("--persona <name>", "id or name")
    .option("--step <name>", "funnel step (default: the first)")
    .option("--evidence <states>", "holds for the persona and for everyone, such as stimulus=mens-email", assignments)
    .option("--draws <number>", "posterior draws behind the intervals (default: 200)", whole(20, 100_000))
    .option("--out <file>", "a page with the explanation and a drawing of the network"),
  async run(context, options) {
    const { binOf, explainPersona, readNetwork } = await import("@populace/studies");
    const file = readNetwork(options.network), campaign = campaignOf(file, options.network);
    const steps = campaign.variables.filter(({ role }) => role === "step").map(({ name }) => name);
    const { step = steps[0] } = options;
    if (!steps.includes(step)) throw new PopulaceError("NOT_FOUND", `the network has no step "${step}"; there are ${steps.join(", ")}`, { step });
    const persona = stateNames(file, { persona: options.persona }, binOf)["persona"];
    const evidence = stateNames(file, options.evidence ?? {}, binOf);
    const among = campaign.variables.filter(({ role }) => role === "attribute" || role === "stimulus").map(({ name }) => name);
    const found = context.blocking(() => explainPersona(file, { persona, step, among, evidence }, { ...(options.draws === undefined ? {} : { draws: options.draws }), ...(context.seed === null ? {} : { seed: context.seed }) }));
    const name = campaign.personas[persona] ?? persona;
    if (options.out !== undefined) {
      const { writeFileAtomic } = await import("@populace/io");
      const { explanationPage } = await import("../report/network-figure.ts");
      writeFileAtomic(options.out, await explanationPage(campaign, found, name, evidence));
    }
    return {
      json: { ...found, name, evidence, label: campaign.evidence, rows: campaign.learning.rows, out: options.out ?? null },
      lines: [
        `${paint("bold", plain(name))} (${plain(persona)}): ${plain(step)} ${rateOf(found.inPersona)}; everyone ${rateOf(found.ofAll)}`, "",
        ...table(
          [{ title: "variable" }, { title: "its mix here pulls everyone's rate by", align: "right" }, { title: "moves this persona by", align: "right" }],
          found.influences.map(({ variable, pull, within }) => [plain(variable), pointsText(pull), within === 0 ? "-" : `${points(within)}`]),
        ), "",
        ...table(
          [{ title: "variable" }, { title: "state" }, { title: "of the persona", align: "right" }, { title: "of all", align: "right" }, { title: `${plain(step)}, persona`, align: "right" }, { title: `${plain(step)}, all`, align: "right" }],
          found.influences.flatMap(({ variable, states }) => states.map((state) => [plain(variable), plain(state.state), percent(state.shareInPersona), percent(state.shareOfAll), rateOf(state.rateInPersona), rateOf(state.rateOfAll)])),
        ), "",
        `pulls and moves in points of the rate, 90 % intervals over draws of the tables; learned from ${count(campaign.learning.rows)} rows`,
        ...observationalLines(campaign),
        ...(options.out === undefined ? [] : [`page in ${paint("bold", options.out)}`]),
      ],
    };
  },
};

const points = (value: number): string => `${(100 * value).toFixed(2)}`;
const pointsText = ({ mean, interval }: NetworkRate): string => `${mean >= 0 ? "+" : ""}${points(mean)}${interval === null ? "" : ` [${points(interval.low)}, ${points(interval.high)}]`}`;

interface CompareOptions {
  readonly network: string;
  readonly run: string;
  readonly draws?: number;
}

export const networkCompareCommand: CommandDefinition<CompareOptions> = {
  name: "compare",
  summary: "a network's rates beside those of a simulated run",
  examples: ["populace simulate --model model.json --ticks 1 --json > run.json && populace network compare --network network.json --run run.json"],
  configure: (command) => command
    .requiredOption("--network <file>", "a network written by `populace network learn --model` of the run's model")
    .requiredOption("--run <file>", "what `populace simulate --json` printed; one tick, so that a rate is of one exposure")
    .option("--draws <number>", "posterior draws behind the intervals (default: 200)", whole(20, 100_000)),
  async run(context, options) {
    const { compareRates, readDocument, readNetwork } = await import("@populace/studies");
    const campaign = campaignOf(readNetwork(options.network), options.network);
    const document = readDocument(options.run, "BAD_DATA");
    if (document.at("rates").absent) document.at("rates").fail("expected the rates that `populace simulate --json` prints");
    const ticks = document.at("ticks").number({ absent: 1 });
    const rates = document.at("rates").list().map((rate) => {
      const share = (key: string): number => rate.at(key).number({ min: 0, max: 1 });
      return { persona: rate.at("persona").text(), stimulus: rate.at("stimulus").text(), step: rate.at("step").text(), mean: share("mean"), low: share("low"), high: share("high") };
    }).filter(({ persona }) => persona !== "*");
    const { rows, leftOut } = context.blocking(() => compareRates(campaign.learned, rates, { ...(options.draws === undefined ? {} : { draws: options.draws }), ...(context.seed === null ? {} : { seed: context.seed }) }));
    const agreeing = rows.filter(({ agrees }) => agrees).length;
    const disagreement = Math.sqrt(rows.reduce((sum, { difference }) => sum + difference * difference, 0) / rows.length);
    const shown = shortened(rows.toSorted((a, b) => Number(a.agrees) - Number(b.agrees) || Math.abs(b.difference) - Math.abs(a.difference)), 48, "rates");
    return {
      json: { rows, agreeing, compared: rows.length, disagreement, leftOut },
      lines: [
        ...table(
          [{ title: "persona" }, { title: "stimulus" }, { title: "step" }, { title: "network", align: "right" }, { title: "simulated", align: "right" }, { title: "difference", align: "right" }, { title: "" }],
          shown.rows.map((row) => [plain(campaign.personas[row.persona] ?? row.persona), plain(row.stimulus), plain(row.step), rateText(row.network), rateText(row.simulated), points(row.difference), row.agrees ? "" : paint("yellow", "disagree")]),
        ), ...shown.rest, "",
        `${agreeing} of ${rows.length} pairs of 90 % intervals meet; root mean square difference ${points(disagreement)} points, largest ${points(Math.max(...rows.map(({ difference }) => Math.abs(difference))))}`,
        ...(leftOut > 0 ? [paint("yellow", `note: ${count(leftOut)} rates of the run are about personas, stimuli or steps that the network does not know`)] : []),
        ...(ticks > 1 ? [paint("yellow", `note: the run has ${count(ticks)} ticks; contact pressure and influence are in its rates and not in the network's`)] : []),
      ],
    };
  },
};

interface ForgetOptions {
  readonly network: string;
  readonly data: string;
  readonly schema?: string;
  readonly model?: string;
  readonly out: string;
}

export const networkForgetCommand: CommandDefinition<ForgetOptions> = {
  name: "forget",
  summary: "take a subject's rows out of a network, to the bit",
  examples: ["populace network forget --network network.json --schema schema.yaml --data subject.csv --out network-2.json"],
  configure: (command) => command
    .requiredOption("--network <file>", "a network learned from complete rows without weights")
    .requiredOption("--data <file>", "the subject's rows as they were in the data")
    .option("--schema <file>", "what the columns mean (default: the model's)")
    .option("--model <file>", "the model the network was learned with, where it has personas")
    .requiredOption("--out <file>", "where to write the network without them"),
  async run(context, options) {
    const { forgetCampaignRows, networkText, readDataset, readModel, readNetwork, readSchema } = await import("@populace/studies");
    const { writeFileAtomic } = await import("@populace/io");
    const { campaign } = readNetwork(options.network);
    if (campaign === null) throw new PopulaceError("BAD_USAGE", `${options.network}: it was not learned from rows, so there is nothing to forget`, { file: options.network });
    const model = options.model === undefined ? undefined : readModel(options.model);
    if (options.schema === undefined && model === undefined) throw new PopulaceError("BAD_USAGE", "name what the columns mean: --schema FILE, or --model FILE for the model's own schema");
    const dataset = await readDataset(options.schema === undefined ? model!.schema : readSchema(options.schema), options.data);
    context.signal.throwIfAborted();
    const { campaign: rest, forgotten } = forgetCampaignRows(campaign, dataset, model);
    writeFileAtomic(options.out, networkText(rest));
    return {
      json: { forgotten, incomplete: dataset.rows - forgotten, noConsent: dataset.noConsent, rows: rest.learning.rows, out: options.out },
      lines: [`${count(forgotten)} rows taken out, ${count(rest.learning.rows)} left; network written to ${paint("bold", options.out)}`, paint("dim", "arcs and bins stay as they were found; learn again to choose them anew"),
        ...(dataset.noConsent > 0 ? [paint("yellow", `note: ${count(dataset.noConsent)} rows have no consent now and were passed over; if they had it when the network was learned, learn it again without them`)] : []),
      ],
    };
  },
};
