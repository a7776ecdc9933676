import { join } from "node:path";
import { BANDIT_NAMES } from "@populace/domain";
import type { BanditName } from "@populace/domain";
import { BACKEND_NAMES } from "@populace/kernels/names";
import type { Model, Study } from "@populace/studies";
import { oneOf, whole } from "../arguments.ts";
import type { CommandContext, CommandDefinition, CommandResult } from "../command.ts";
import type { BackendInUse, EmbeddedRunner } from "../embedded.ts";
import { amount, count, duration, paint, percent, plain, table } from "../output.ts";
import { personaNames, stimulusNames } from "../names.ts";
import { withRunner } from "../with-runner.ts";

const SUBJECTS = ["stimulus", "design", "contacts"] as const;

interface OptimizeOptions {
  readonly model: string;
  readonly study?: string;
  readonly find: (typeof SUBJECTS)[number];
  readonly method: BanditName;
  readonly replicates: number;
  readonly out?: string;
  readonly step?: string;
  readonly batch?: number;
  readonly rounds?: number;
  readonly workers?: number;
  readonly backend?: string;
  readonly store: string;
}

/** What every search is given. */
interface Search {
  readonly context: CommandContext;
  readonly options: OptimizeOptions;
  readonly model: Model;
  readonly study: Study;
  readonly minor: number;
  readonly currency: string;
}

export const optimizeCommand: CommandDefinition<OptimizeOptions> = {
  name: "optimize",
  summary: "search the best stimulus for each persona, a new stimulus, or when to contact whom, inside the simulation",
  examples: [
    "populace optimize --model model.json --study study.yaml",
    "populace optimize --model model.json --method logistic-thompson --replicates 50 --out search",
    "populace optimize --model model.json --study design.yaml --find design --out search",
    "populace optimize --model model.json --study study.yaml --find contacts --out search",
  ],
  configure: (command) => command
    .requiredOption("--model <file>", "a model made by fit or learn")
    .option("--study <file>", "YAML or JSON: which personas and stimuli; a `design` for --find design, a `contactPolicy` for --find contacts")
    .option("--find <what>", "stimulus: the best one of a list for each persona; design: new ones out of the study's design space, on the Pareto front of value and leaving; contacts: whom to contact when with what", oneOf(...SUBJECTS), "stimulus")
    .option("--method <name>", `which bandit searches for a stimulus: ${BANDIT_NAMES.join(", ")}`, oneOf(...BANDIT_NAMES), "top-two")
    .option("--replicates <number>", "plays of the method, of random and of best-fixed behind the regret's intervals; random contact policies", whole(0, 1_000), 20)
    .option("--out <folder>", "where to write optimize.html with its figures; --find contacts also writes study.json, which replays the policies")
    .option("--step <name>", "funnel step whose responses have the value (default: the last)")
    .option("--batch <number>", "simulated exposures of one round for each persona", whole(10, 10_000_000))
    .option("--rounds <number>", "rounds at most", whole(1, 10_000))
    .option("--workers <number>", "worker threads; changes no result", whole(1, 256))
    .option("--backend <name>", `kernel backend, which changes no result: auto, ${BACKEND_NAMES.join(", ")}`, oneOf("auto", ...BACKEND_NAMES))
    .option("--store <folder>", "where runs are committed", ".populace"),
  async run(context, options) {
    const { readModel, readStudy } = await import("@populace/studies");
    const model = readModel(options.model);
    const stated = readStudy(options.study ?? {}, model);
    const search: Search = {
      context, options, model, study: { ...stated, seed: context.seed ?? stated.seed },
      minor: model.schema.value?.minorUnits ?? 100, currency: model.schema.value?.currency ?? "",
    };
    switch (options.find) {
      case "stimulus": return bestStimulus(search);
      case "design": return designs(search);
      case "contacts": return contacts(search);
    }
  },
};

/** Does the work with a cluster of one process behind it. */
async function running<T>({ context, options }: Search, title: string, unit: string, work: (runner: EmbeddedRunner, update: (done: number, total: number) => void) => Promise<T>): Promise<{ readonly result: T; readonly inUse: BackendInUse }> {
  const { embeddedRunner } = await import("../embedded.ts");
  const bar = context.progress(title, unit);
  const runner = embeddedRunner({ storeDir: options.store, onNote: (note) => context.say(paint("dim", note)), ...(options.workers === undefined ? {} : { workers: options.workers }), ...(options.backend === undefined ? {} : { backend: options.backend }) });
  return withRunner(runner, bar, async () => {
    const inUse = await (await runner.warmUp()).ready;
    context.say(paint("dim", `backend ${inUse.backend}: ${inUse.reason}`));
    return { inUse, result: await work(runner, (done, total) => bar.update(done, total)) };
  });
}

/** Writes the page where one was asked for; its path, and a line about it. */
async function written(out: string | undefined, page: () => Promise<string>): Promise<{ readonly json: { readonly page?: string }; readonly lines: readonly string[] }> {
  if (out === undefined) return { json: {}, lines: [] };
  const { writeFileAtomic } = await import("@populace/io");
  const path = join(out, "optimize.html");
  writeFileAtomic(path, await page());
  return { json: { page: path }, lines: [`drawn in ${paint("bold", path)}`] };
}

async function bestStimulus(search: Search): Promise<CommandResult> {
  const { context, options, model, study, minor, currency } = search, startedMs = performance.now();
  const { optimize } = await import("@populace/studies");
  const { result, inUse } = await running(search, "optimizing", "rounds", (runner, update) => optimize(model, study, runner, {
    method: options.method, replicates: options.replicates,
    ...(options.step === undefined ? {} : { step: options.step }), ...(options.batch === undefined ? {} : { batch: options.batch }),
    ...(options.rounds === undefined ? {} : { roundsMax: options.rounds }),
    signal: context.signal, onProgress: ({ round, rounds }) => update(round, rounds),
  }));
  const { json, lines } = await written(options.out, async () => (await import("../report/from-optimize.ts")).optimizePage(model, result, study.seed));
  const names = personaNames(model);
  return {
    json: { method: result.method, best: result.best, regret: result.regret, baselines: result.baselines, curves: result.curves, replicates: options.replicates, step: result.step, runs: result.runs, ...json, backend: inUse.backend, backendReason: inUse.reason, evidence: model.evidence },
    lines: [
      ...table(
        [{ title: "persona" }, { title: "best stimulus" }, { title: "chance best", align: "right" }, { title: `value ${currency}`, align: "right" }, { title: `expected loss ${currency}`, align: "right" }, { title: "exposures", align: "right" }, { title: "settled" }],
        result.best.map((row) => [plain(names.get(row.persona) ?? row.persona), plain(row.stimulus), percent(row.probabilityBest), (row.valueMinor / minor).toFixed(3), (row.expectedLoss / minor).toFixed(4), count(row.exposures), row.settled ? "yes" : paint("yellow", "not yet")]),
      ),
      "",
      ...table(
        [{ title: "policy" }, { title: `value per exposure ${currency}`, align: "right" }, { title: `regret ${currency}`, align: "right" }],
        result.baselines.map((row) => [row.name, (row.valuePerExposure / minor).toFixed(4), amount(row.regret, minor)]),
      ),
      "",
      ...(result.curves.length === 0 ? [] : [...table(
        [{ title: `${options.replicates} replicates of` }, { title: `regret ${currency} [90 % of replicates]`, align: "right" }, { title: `recommended, value ${currency}`, align: "right" }],
        [...result.curves.map((curve) => [curve.policy, `${amount(curve.regret, minor)} [${amount(curve.points.at(-1)!.low, minor)}, ${amount(curve.points.at(-1)!.high, minor)}]`, `${(curve.recommended / minor).toFixed(4)} +- ${(curve.recommendedSe / minor).toFixed(4)}`]), ["oracle", "0", (result.curves[0].oracle / minor).toFixed(4)]],
      ), ""]),
      ...lines,
      `simulated evidence only, ${count(result.regret.at(-1)?.exposures ?? 0)} exposures in ${result.runs.length} rounds, ${duration((performance.now() - startedMs) / 1000)}; what the model does not know shows in “chance best”`,
    ],
  };
}

async function designs({ context, options, model, study, minor, currency }: Search): Promise<CommandResult> {
  const { stimulusDesign } = await import("@populace/studies");
  const startedMs = performance.now(), bar = context.progress("designing", "designs");
  const result = (() => {
    try {
      return context.blocking(() => stimulusDesign(model, study, { ...(options.step === undefined ? {} : { step: options.step }), onProgress: (done) => bar.update(done, study.design?.evaluations ?? done) }));
    } finally {
      bar.stop();
    }
  })();
  const { json, lines } = await written(options.out, async () => (await import("../report/from-design.ts")).designPage(model, result, study.seed));
  const names = new Map([...stimulusNames(model), ...study.newStimuli.map((stimulus) => [stimulus.id as string, stimulus.name] as const)]), personas = personaNames(model), money = (value: number): string => (value / minor).toFixed(3);
  return {
    json: { find: "design", step: result.step, rows: result.rows, personas: result.personas, baselines: result.baselines, looked: result.looked, designs: result.designs, isWhole: result.isWhole, ...json, evidence: model.evidence },
    lines: [
      ...table(
        [{ title: "" }, { title: "stimulus" }, { title: "every", align: "right" }, { title: `value ${currency} [90 % interval]`, align: "right" }, { title: "leaving", align: "right" }, { title: `cost ${currency}`, align: "right" }, { title: "chance best", align: "right" }, { title: "holds" }],
        result.rows.map((row) => [row.kind, plain(names.get(row.id) ?? row.id), String(row.everyTicks), `${money(row.value.mean)} [${money(row.value.low)}, ${money(row.value.high)}]`, percent(row.leaving.mean), money(row.costMinor), percent(row.probabilityBest), row.holds ? "yes" : "no"]),
      ),
      "",
      ...table(
        [{ title: "persona" }, { title: "best design" }, { title: "every", align: "right" }, { title: `value ${currency}`, align: "right" }, { title: "chance best", align: "right" }],
        result.personas.map((row) => [plain(personas.get(row.persona) ?? row.persona), plain(row.id), String(row.everyTicks), money(row.value.mean), percent(row.probabilityBest)]),
      ),
      "",
      ...table([{ title: "policy" }, { title: `value per agent ${currency}`, align: "right" }], result.baselines.map((row) => [row.name, `${money(row.value)} +- ${money(row.se)}`])),
      "", ...lines,
      `${count(result.looked.length)} of ${count(result.designs)} designs looked at in ${duration((performance.now() - startedMs) / 1000)}; chosen on one half of the worlds, judged on the other; simulated evidence only`,
    ],
  };
}

async function contacts(search: Search): Promise<CommandResult> {
  const { context, options, model, study, minor, currency } = search, startedMs = performance.now();
  const { contactPolicy } = await import("@populace/studies");
  const { result, inUse } = await running(search, "planning contacts", "runs", (runner) => contactPolicy(model, study, runner, {
    ...(options.step === undefined ? {} : { step: options.step }), replicates: Math.max(1, options.replicates), signal: context.signal,
  }));
  const { json, lines } = await written(options.out, async () => (await import("../report/from-contacts.ts")).contactsPage(model, study, result));
  const replay: string[] = [];
  if (options.out !== undefined) {
    const { readDocument } = await import("@populace/studies");
    const { writeFileAtomic } = await import("@populace/io");
    const document = options.study === undefined ? {} : (readDocument(options.study, "BAD_STUDY").value as object), path = join(options.out, "study.json");
    writeFileAtomic(path, `${JSON.stringify({ ...document, seed: study.seed, scenarios: result.scenarios })}\n`);
    replay.push(`${paint("bold", path)} replays it: populace simulate --study`);
  }
  const names = personaNames(model, study.histories), money = (value: number): string => (value / minor).toFixed(3);
  return {
    json: {
      find: "contacts", step: result.step, policies: result.policies, gapClosed: result.gapClosed, probabilityBest: result.probabilityBest, price: result.price,
      personas: result.personas, schedule: result.schedule, scenarios: result.scenarios, agents: result.agents, ...result.run, ...json, backend: inUse.backend, evidence: model.evidence,
    },
    lines: [
      ...table(
        [{ title: "policy" }, { title: `value per agent ${currency} [90 % interval]`, align: "right" }, { title: "contacts", align: "right" }, { title: "leaving", align: "right" }, { title: `spent ${currency}`, align: "right" }, { title: `lived by agents ${currency}`, align: "right" }],
        result.policies.map((row) => {
          const agents = result.agents.find(({ name }) => name === row.name);
          return [row.name, `${money(row.value)} [${money(row.low)}, ${money(row.high)}]`, row.contacts.toFixed(2), percent(row.left), amount(row.spendMinor, minor), agents === undefined ? "-" : money(agents.value)];
        }),
      ),
      "",
      ...table([{ title: "persona" }, { title: "contacts by tick (. = none)" }], result.personas.map((persona, p) => [plain(names.get(persona) ?? persona), scheduleText(model, study, result.schedule[p])])),
      "",
      ...legend(model, study),
      `${result.gapClosed === null ? "looking ahead has nothing to gain here" : `the sequential policy closes ${percent(result.gapClosed)} of the gap between myopic and oracle`}; best but for the oracle in ${percent(result.probabilityBest)} of the worlds`,
      ...(result.price > 0 ? [`the budget binds: the last ${currency} spent brings ${result.price.toFixed(2)} of value`] : []),
      ...lines, ...replay,
      `simulated evidence only, ${duration((performance.now() - startedMs) / 1000)}${result.run === null ? "" : `, root ${result.run.rootHash.slice(0, 16)}`}`,
    ],
  };
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const shownStimuli = (model: Model, study: Study): readonly { readonly id: string; readonly name: string; readonly contact: boolean }[] => {
  const all = [...model.response.stimuli, ...study.newStimuli];
  return (study.stimuli.length === 0 ? all : all.filter(({ id }) => study.stimuli.includes(id))).filter(({ contact }) => contact);
};
const letterOf = (index: number): string => LETTERS[index] ?? "#";

/** One letter a tick. */
function scheduleText(model: Model, study: Study, schedule: readonly (string | null)[]): string {
  const shown = shownStimuli(model, study).map(({ id }) => id);
  return schedule.map((stimulus) => (stimulus === null || !shown.includes(stimulus) ? "." : letterOf(shown.indexOf(stimulus)))).join("");
}

const legend = (model: Model, study: Study): readonly string[] => [shownStimuli(model, study).map(({ name }, index) => `${letterOf(index)} ${plain(name)}`).join(", ")];
