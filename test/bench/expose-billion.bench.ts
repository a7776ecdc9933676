// A billion agents, one e-mail, all cores: the bare kernel, and the whole product as a person calls it.
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { RandomStream } from "@populace/domain";
import { type CompiledStudy, compileStudy, readModel, readStudy } from "@populace/studies";
import { type Bench, compared, median } from "./bench.ts";
import type { BareLife, BareStart } from "./expose-bare.ts";
import { temporaryFolder } from "./peers/peer.ts";

const POPULACE = join(import.meta.dirname, "..", "..", "cli", "main.ts");

/** What `populace simulate --json` says of a run. */
interface Simulated {
  readonly exposures: number;
  /** The run alone, and everything from the start of the process. */
  readonly seconds: number;
  readonly secondsTotal: number;
  readonly peakBytes: number;
  readonly rootHash: string;
}

export const bench: Bench = {
  name: "expose billion",
  async run({ tiny }) {
    const agents = tiny ? 4_096 : 1_000_000_000, rounds = tiny ? 1 : 7, threads = availableParallelism();
    const cores = threads === 2 ? "two cores" : `${threads} cores`, people = tiny ? "4,096" : "a billion";
    const folder = temporaryFolder(), { model, study } = await fitted(folder, tiny ? 400 : 8_000);
    const compiled = compiledFor(model, study, agents);
    const bare = await startBare({ plan: compiled.plan, threads });

    await bare.life();
    const lives: BareLife[] = [], runs: Simulated[] = [];
    const bareRate = async (): Promise<number> => {
      lives.push(await bare.life());
      return lives.at(-1)!.exposures / lives.at(-1)!.seconds;
    };
    const whole = await compared({
      what: "", unit: "exposures/s", better: "larger", peerName: "the bare kernel in as many threads", rounds, isWarm: true, floor: "70 %", target: "90 %", hash: () => runs.at(-1)!.rootHash, peer: bareRate,
      async ours() {
        runs.push(await simulated(folder, model, study, agents));
        return runs.at(-1)!.exposures / runs.at(-1)!.secondsTotal;
      },
    });
    bare.close();
    if (runs.some(({ exposures }) => exposures !== lives[0]!.exposures)) throw new Error(`expose billion: the product made ${runs[0]!.exposures} exposures, the bare kernel ${lives[0]!.exposures}`);
    const runAlone = median(runs.map((run, round) => lives[round]!.seconds / run.seconds));
    const memory = (bytes: readonly number[]): string => `${Math.round(Math.max(...bytes) / 1e6)} MB at the peak`;
    return [
      {
        what: `${people} agents, one stimulus, ${cores}, bare kernel (${describe(compiled)}; ${(100 * lives[0]!.responseRate).toFixed(1)} % respond; ${memory(lives.map((life) => life.peakBytes))})`, ours: median(lives.map((life) => life.seconds)), peer: null,
        peerName: "published: OASIS, 1 M agents, 18 h a step on 27 A100", ratio: null, unit: "s", floor: "6 s", target: "2 s in < 200 MB", hash: lives[0]!.hash,
      },
      { ...whole, what: `the same with populace simulate, from the start of its process to its report (${memory(runs.map((run) => run.peakBytes))}; ${runAlone.toFixed(2)}x counting the run alone)` },
    ];
  },
};

/** How `populace simulate` draws the population of a plan. */
function describe({ form, plan }: CompiledStudy): string {
  const thinned = (bits: Uint8Array): string => `${Math.round((100 * bits.filter((each) => each > 0).length) / bits.length)} %`;
  return `${plan.personas.length} personas, ${plan.worlds} worlds, ${form} form${form === "factor" ? `, ${plan.factors} factors` : ""}, draws thinned in ${thinned(plan.drawBits)} and leaving in ${thinned(plan.leaveBits)} of worlds x personas`;
}

function compiledFor(modelFile: string, studyFile: string, agents: number): CompiledStudy {
  const model = readModel(modelFile);
  return compileStudy(model, { ...readStudy(studyFile, model), agents, ticks: 1 });
}

async function startBare(start: BareStart): Promise<{ life(): Promise<BareLife>; close(): void }> {
  const child = fork(join(import.meta.dirname, "expose-bare.ts"), { serialization: "advanced", execArgv: [] });
  const answer = async (message: BareStart | "live"): Promise<unknown> => {
    child.send(message as never);
    const [said] = await once(child, "message");
    return said;
  };
  await answer(start);
  return { life: async () => (await answer("live")) as BareLife, close: () => child.kill() };
}

const run = promisify(execFile);

/** One call of the command, in a folder of its own, so that nothing is read back from an earlier one. */
async function simulated(folder: string, model: string, study: string, agents: number): Promise<Simulated> {
  const { stdout } = await run(process.execPath, [POPULACE, "simulate", "--model", model, "--study", study, "--agents", String(agents), "--ticks", "1", "--json"], { cwd: mkdtempSync(join(folder, "run-")), maxBuffer: 1 << 28 });
  return JSON.parse(stdout) as Simulated;
}

/** A model fitted by `populace fit` on made-up recipients of an e-mail, about 12 % of whom open, 3 % click and 0.6 % order; and a study of that e-mail. */
async function fitted(folder: string, rows: number): Promise<{ readonly model: string; readonly study: string }> {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };
  const schema = file("schema.json", JSON.stringify({
    name: "bench", recipient: "recipient",
    attributes: { age: "continuous", income: { kind: "continuous", transform: "log1p" }, visits: "count", region: "categorical", channel: "categorical", loyalty: "binary" },
    stimulus: { column: "stimulus", stimuli: { none: { contact: false }, mail: { channel: "email" } } },
    assignment: "randomized", funnel: ["open", "click", "order"],
  }));
  const study = file("study.json", JSON.stringify({ name: "one e-mail", stimuli: ["mail"], everyTicks: 1 }));
  const data = file("data.csv", customers(rows)), model = join(folder, "model.json");
  await run(process.execPath, [POPULACE, "fit", "--schema", schema, "--data", data, "--out", model, "--personas", "8", "--worlds", "200", "--json"]);
  return { model, study };
}

function customers(rows: number): string {
  const random = RandomStream.of(11, "bench customers");
  const chance = (logit: number): boolean => random.uniform() < 1 / (1 + Math.exp(-logit));
  const lines = ["recipient,age,income,visits,region,channel,loyalty,stimulus,open,click,order"];
  for (let row = 0; row < rows; row++) {
    const group = random.integer(4), loyalty = random.uniform() < 0.2 + 0.15 * group ? 1 : 0, mail = random.uniform() < 0.5;
    const age = Math.round(28 + 12 * group + 5 * random.normal()), income = Math.round(30_000 * Math.exp(0.25 * group + 0.25 * random.normal())), visits = random.integer(3 + 3 * (3 - group));
    const open = chance(-2.8 + (mail ? 0.5 : 0) + 0.08 * visits + 0.5 * loyalty), click = open && chance(-1.4 + 0.3 * loyalty), order = click && chance(-1.5 + 0.4 * loyalty);
    const region = ["city", "suburb", "rural"][(group + random.integer(2)) % 3]!, channel = ["web", "phone", "both"][random.integer(3)]!;
    lines.push(`c${row},${age},${income},${visits},${region},${channel},${loyalty},${mail ? "mail" : "none"},${Number(open)},${Number(click)},${Number(order)}`);
  }
  return `${lines.join("\n")}\n`;
}
