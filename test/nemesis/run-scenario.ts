import type { NatsProgram } from "../../io/nats/server.fixture.ts";
import { chanceOf } from "../simulator/chance.ts";
import { violations, type Violation } from "../simulator/invariants.ts";
import type { Expected } from "../simulator/records.ts";
import { rootsOf, truthOf, type Truth } from "../simulator/truth.ts";
import { startCluster, type NemesisCluster } from "./cluster.ts";
import { storeCommits } from "./observer.ts";
import { EXECUTION, planOf, type Scenario } from "./scenarios.ts";

export interface NemesisOptions {
  readonly program: NatsProgram;
  readonly seed: number;
  /** How long the faults of a soak go on. */
  readonly minutes: number;
  readonly onNote?: (note: string) => void;
}

/** What a scenario came to. */
export interface NemesisReport {
  readonly scenario: string;
  readonly server: string;
  readonly seed: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly runs: number;
  readonly commits: number;
  readonly views: number;
  readonly terms: number;
  readonly seconds: number;
  readonly root: string;
  readonly exposures: number;
  /** Longest time without any commit, in ms. */
  readonly longestSilenceMs: number;
  /** MiB of each process, most first, then at equal distances over its life; and the bytes of all streams at the end. */
  readonly memoryMb: Readonly<Record<string, { readonly most: number; readonly overTime: readonly number[] }>>;
  readonly streamBytes: number;
  /** Most files that one of them had open. */
  readonly files: number;
  /** Broken promises, and effects of faults that were not seen. */
  readonly violations: readonly Violation[];
}

/** A cluster that commits nothing for so long while it is disturbed again and again, or after that, is stuck. */
const STUCK_MS = 180_000, RECOVERY_MS = 60_000;
/** A process of this cluster holds 100 to 300 MiB. */
const MEMORY_MB_MAX = 700, FILES_MAX = 250, STREAM_BYTES_MAX = 512 * 1024 * 1024;
const SAMPLE_MS = 1000;

/** Runs one scenario on real processes and holds what was observed to the invariants of the simulator. */
export async function runScenario(scenario: Scenario, { program, seed, minutes, onNote }: NemesisOptions): Promise<NemesisReport> {
  const startedMs = performance.now();
  const cluster = await startCluster({ ...scenario.shape, program });
  const { observer, client } = cluster;
  const truths = new Map<string, Truth>(), unseen: Violation[] = [];
  let lastCommitMs = performance.now(), longestSilenceMs = 0, silence = performance.now();
  observer.onCommit((_run, _tick, _term, atMs) => {
    longestSilenceMs = Math.max(longestSilenceMs, atMs - lastCommitMs);
    lastCommitMs = atMs;
    silence = atMs;
  });
  const sampling = setInterval(() => cluster.sample(), SAMPLE_MS);
  try {
    let areFaultsDone = false, fail: (error: unknown) => void = () => {};
    const failed = new Promise<never>((_, reject) => { fail = reject; });
    failed.catch(() => {});
    const watchdog = setInterval(() => {
      if (performance.now() - silence > STUCK_MS) fail(new Error(`no commit for ${STUCK_MS / 1000} s`));
    }, SAMPLE_MS);

    const runOne = async (index: number): Promise<void> => {
      const plan = planOf(seed * 1000 + index, scenario.ticks);
      const truth = await truthOf(plan, "wasm");
      truths.set(truth.run, truth);
      silence = performance.now();
      await client.submit(plan, EXECUTION);
      for await (const { state, reason } of client.watch(truth.run)) if (state !== "done" && reason !== "") onNote?.(`run ${truth.run.slice(0, 12)} is ${state}: ${reason}`);
      const { rootHash, exposures, counts } = await client.outcome(truth.run);
      observer.records.push({ kind: "outcome", observer: "client", run: truth.run, root: rootHash, exposures, counts });
    };
    const course = {
      cluster, chance: chanceOf(seed, scenario.name), minutes, ticks: scenario.ticks,
      skip: (why: string) => onNote?.(`SKIPPED: ${why}`),
      expect(what: string, holds: boolean) {
        if (!holds) unseen.push({ invariant: "effect", message: `not seen: ${what}` });
      },
      more: (commits: number) => new Promise<void>((resolve) => {
        const until = observer.commits() + commits;
        const stop = observer.onCommit(() => {
          if (observer.commits() < until) return;
          stop();
          resolve();
        });
      }),
    };
    const first = Promise.withResolvers<string>();
    const faulting = (async () => {
      const run = await first.promise;
      await scenario.faults({ ...course, run, tick: (tick) => Promise.race([observer.tick(run, tick).then(() => {}), failed]) });
      areFaultsDone = true;
      observer.records.push({ kind: "calm", atMs: performance.now() });
      onNote?.("calm");
    })();
    faulting.catch((error: unknown) => fail(error));
    const running = (async () => {
      for (let index = 0; index === 0 || !areFaultsDone; index += 1) {
        const ran = runOne(index);
        if (index === 0) {
          while (truths.size === 0) await Promise.race([ran, new Promise((resolve) => setTimeout(resolve, 20))]);
          first.resolve([...truths.keys()][0]);
        }
        await ran;
        onNote?.(`run ${index + 1} done`);
      }
    })();
    await Promise.race([Promise.all([running, faulting]), failed]);
    clearInterval(watchdog);

    const streamBytes = await cluster.streamBytes();
    for (const [who, samples] of cluster.memory) if (who !== "nats-server") observer.records.push({ kind: "usage", what: `MiB of ${who}`, value: Math.max(...samples), bound: MEMORY_MB_MAX });
    for (const [who, files] of cluster.files) observer.records.push({ kind: "usage", what: `open files of ${who}`, value: files, bound: FILES_MAX });
    observer.records.push({ kind: "usage", what: "bytes of the streams", value: streamBytes, bound: STREAM_BYTES_MAX });
    for (const coordinator of cluster.coordinators) {
      await cluster.kill(coordinator);
      observer.records.push(...await storeCommits(coordinator.name, coordinator.storeDir));
    }
    const expected = new Map([...truths].map(([run, truth]): [string, Expected] => [run, expectation(truth)]));
    const last = [...truths.values()].at(-1)!;
    return {
      scenario: scenario.name, server: program.name, seed, faults: Object.fromEntries(cluster.faults), runs: truths.size, commits: observer.commits(), views: observer.views(), terms: observer.terms(),
      seconds: Math.round((performance.now() - startedMs) / 1000), root: rootsOf(last).at(-1)!, exposures: [...truths.values()].reduce((sum, truth) => sum + truth.exposures, 0), longestSilenceMs: Math.round(longestSilenceMs),
      memoryMb: Object.fromEntries([...cluster.memory].map(([who, samples]) => [who, { most: Math.max(...samples), overTime: spread(samples) }])), streamBytes, files: Math.max(0, ...cluster.files.values()),
      violations: [...violations(observer.records, { expected, recoveryMs: RECOVERY_MS, mustFinish: true }), ...unseen],
    };
  } catch (error) {
    throw new Error(`scenario ${scenario.name}, seed ${seed}: ${error instanceof Error ? error.message : String(error)}\n${lastWords(cluster)}`, { cause: error });
  } finally {
    clearInterval(sampling);
    await cluster.close();
  }
}

function expectation(truth: Truth): Expected {
  return {
    run: truth.run, ticks: truth.plan.ticks, exposures: truth.exposures, counts: truth.counts,
    roots: (inputs) => rootsOf(truth, inputs), leaves: (tick) => truth.ticks[tick].leaves, state: (tick, block) => truth.ticks[tick].states[block],
  };
}

/** At most ten of the samples, the last one among them. */
function spread(samples: readonly number[]): readonly number[] {
  const step = Math.max(1, samples.length / 10);
  return samples.filter((_, index) => Math.floor((samples.length - 1 - index) / step) !== Math.floor((samples.length - 2 - index) / step));
}

function lastWords(cluster: NemesisCluster): string {
  return [...cluster.coordinators, ...cluster.nodes()].map((each) => `--- ${each.name}${each.isAlive() ? "" : " (ended)"}\n${each.said().slice(-3000)}`).join("\n");
}
