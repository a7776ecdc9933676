import { execFileSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { blocksOf, type BehaviorPlan } from "@populace/protocol";
import type { WorkerPool } from "../shell/worker-pool.ts";
import { compileBehavior } from "./compile.ts";
import { startBehaviorPool } from "./pool.ts";
import { moduleOf, scriptOf } from "./rules.ts";
import { PROCESS_FLAGS, realmScripts, type Sandbox, startSandbox } from "./sandbox.ts";

/** A behavior whose onTick has this body; the first five agents are innocent. */
const behaving = (body: string, more = ""): string => `import { defineBehavior } from "@populace/agent-runtime/behavior";
export default defineBehavior({
  name: "suspect", state: { x: "u8" }, counters: ["a"], ${more}
  onTick(agent, world) {
    agent.count("a");
    if (agent.id < 5) return;
    ${body}
  },
});
`;

const refusalOf = (source: string): string => {
  try {
    scriptOf(moduleOf(source));
    return "";
  } catch (error) {
    expect(error).toMatchObject({ code: "BAD_BEHAVIOR" });
    return (error as Error).message;
  }
};

describe("the rules refuse, with line and column,", () => {
  test.each([
    ["agent.count('a', Math.random());", "Math.random; chance comes from the run's seed"],
    ["agent.state.x = Date.now() % 2;", "Date; there is no clock"],
    ["agent.state.x = performance.now();", "performance; there is no clock"],
    ["process.exit();", "process; a behavior sees nothing outside"],
    ["fetch('http://localhost');", "fetch; a behavior sees nothing outside"],
    ["setTimeout(() => {}, 1);", "setTimeout; nothing is awaited"],
    ["void (async () => {})();", "an async function; nothing is awaited"],
    ["void import('node:fs');", "imports while it runs"],
    ["eval('1');", "eval; code may not be made from texts"],
    ["try { agent.count('a'); } finally { agent.count('a'); }", "a try statement; where a stack overflows differs"],
    ["agent.state.x = 2 ** 3;", "**; powers may round differently"],
    ["agent.state.x = Math.exp(0);", "Math.exp; it may round differently"],
    ["new WeakRef({});", "WeakRef; it shows the garbage collector"],
    ["globalThis;", "globalThis; a behavior sees nothing outside"],
    ["unheardOf();", "unheardOf; nothing of that name exists here"],
    ["const { y = Date } = { y: 1 }; agent.state.x = y;", "Date; there is no clock"],
  ])("%s", (body, reason) => {
    const message = refusalOf(behaving(body));
    expect(message).toContain(reason);
    expect(message).toContain("line 7, column ");
  });

  test.each([
    ['import { readFileSync } from "node:fs";\nexport default {};', 'line 1, column 1: it imports from "node:fs"; a behavior is one file'],
    ["export const a = 1;\nexport default {};", "line 1, column 1: it exports a name"],
    ["const a = 1;", "has no default export"],
    ["enum A { B }\nexport default {};", "no TypeScript that runs as it stands"],
    ["export default {", "no TypeScript that runs as it stands"],
  ])("%s", (source, reason) => {
    expect(refusalOf(source)).toContain(reason);
  });

  test("what a script does and a module only says: a comparison in the one is a comment in the other", () => {
    const module = "let a = 1, b = 2;\nconst c = a <!--b /*\nfetch('x');\n/**/;\nexport default {};";
    expect(() => scriptOf(module)).toThrow("line 3, column 1: it uses fetch");
    expect(() => scriptOf("export default {")).toThrow("expected a module that Node can read");
  });

  test("nothing that only looks like it", () => {
    expect(refusalOf(behaving("const Date = { random: () => 1 }; agent.state.x = Date.random(); const o = { process: 1 }; agent.count('a', o.process); /* fetch( */"))).toBe("");
  });
});

describe("the definition", () => {
  test.each<[{ counters?: string; more?: string }, string]>([
    [{ counters: "[]" }, "counters is empty"],
    [{ more: "messages: ['m']," }, "onMessage is undefined; expected a function, for messages are declared"],
    [{ more: "traits: { t: [3, 1] }," }, "trait t is 3 to 1"],
    [{ more: "personas: { p: { share: 0.5 } }," }, "the sum of the personas' shares is 0.5; expected 1"],
    [{ more: "stimuli: { s: { at: [0] } }," }, "onStimulus is undefined"],
    [{ more: "onTock() {}," }, "a key of the behavior is onTock"],
    [{ more: "state: { x: 'f64' }," }, "state x is f64; expected one of: u8, u16, i32"],
  ])("%o is refused by name", async ({ counters = "['a']", more = "" }, reason) => {
    await expect(startSandbox(`export default { name: "n", counters: ${counters}, ${more} };`)).rejects.toMatchObject({ code: "BAD_BEHAVIOR", message: expect.stringContaining(reason) });
  });
});

async function planOf(source: string, agents = 600, ticks = 10): Promise<BehaviorPlan> {
  return (await compileBehavior(source, { agents, ticks, seed: [3, 4], blockAgents: 256 })).plan;
}

/** Ticks of all blocks on one worker of a pool, until it fails. */
async function ticksOf(plan: BehaviorPlan, pool: WorkerPool): Promise<void> {
  const blocks = blocksOf(plan).map((_, index) => index);
  try {
    pool.tell(0, { kind: "open", key: "r/1", plan, backend: "behavior", population: "procedural", control: new SharedArrayBuffer(4) });
    await pool.ask(0, { kind: "hold", key: "r/1", blocks: blocks.map((block) => ({ block, state: null })), replayFrom: 0, climates: [] });
    for (let tick = 0; tick < plan.ticks; tick++) {
      await pool.ask(0, { kind: "compute", key: "r/1", tick, span: 1, climate: null as never, checkpoint: false, next: null, shards: [{ shard: 0, blocks }] });
    }
  } finally {
    await pool.close();
  }
}

/** Time enough on a busy machine to fill so little memory. */
const BOUNDS = { blockMs: 30_000, heapMiB: 32 };

describe("a behavior that passed the rules fails by name, tick and agent when it", () => {
  test.each([
    ["loops forever", "if (world.tick === 3 && agent.id === 300) for (;;);", "tick 3, agent 300 of persona agent: did not end within 1.5 s"],
    ["fills the memory", "if (world.tick === 2 && agent.id === 300) { const a = []; for (;;) a.push([agent.id, {}]); }", "tick 2, agents 256 to 511 of persona agent: used more than 32 MiB of memory"],
    ["throws in tick 7", "if (world.tick === 7 && agent.id === 17) throw new Error('no');", "tick 7, agent 17 of persona agent: no (line 7, column "],
  ])("%s", async (_, body, reason) => {
    const plan = await planOf(behaving(body));
    const bounds = { ...BOUNDS, ...(body.includes("for (;;);") ? { blockMs: 1500 } : {}) };
    await expect(ticksOf(plan, startBehaviorPool(1, bounds))).rejects.toMatchObject({ code: "BEHAVIOR_FAILED", message: expect.stringContaining(reason) });
  });
});

describe("the sealed realm stops, at the agent whose turn it is, what", () => {
  const CASES = [
    ["throws something that cannot be read", "const f = () => f(); throw { get message() { return f(); }, toString: f };", "could not be read"],
    ["hides Math.random", "const m = Math, name = 'ran' + 'dom'; agent.count('a', m[name]());", "Math.random is not available: draw with agent.chance"],
    ["hides Math.exp", "agent.count('a', Math['ex' + 'p'](0));", "Math.exp is not available: it may round differently"],
    ["makes code from a text", "agent.count.constructor('return process')();", "Code generation from strings disallowed"],
    ["makes code from a text by another door", "(function* () {}).constructor('yield process')();", "Code generation from strings disallowed"],
    ["reaches for the compiler of what threw", "const f = (n) => f(n + 1) + 1; f.constructor.constructor('return process')();", "Code generation from strings disallowed"],
    ["changes what everybody uses", "Array.prototype.push = () => 1;", "Cannot assign to read only property 'push'"],
    ["leaves something behind", "Object.prototype.seen = agent.id;", "object is not extensible"],
    ["keeps an agent's object for itself", "agent.kept = 1;", "object is not extensible"],
    ["compares by the machine's language", "'a'.localeCompare('b');", "localeCompare is not a function"],
    ["looks where it is", "const place = new Error('x').stack; if (!/^[0-9: ]*$/.test(place)) return; throw new Error('only lines ' + typeof place);", "only lines string"],
    ["writes half an agent", "agent.state.x = 0.5;", "state x was set to 0.5; expected an integer from 0 to 255 (u8)"],
    ["counts what it did not declare", "agent.count('b');", 'counter "b" is not declared; expected one of: a'],
    ["sends what it did not declare", "agent.send('n', 1);", 'message "n" is not declared'],
    ["sends to nobody", "agent.send('m', 600);", "goes to 600; expected the id of an agent, 0 to 599"],
    ["sends half a number", "agent.send('m', 1, 2.5);", "carries 2.5"],
    ["sends without end", "for (let i = 0; i < 2000; i++) agent.send('m', 1);", "more than 1024 messages"],
    ["calls itself without end", "const f = (n) => f(n + 1) + 1; agent.count('a', f(0));", "Maximum call stack size exceeded"],
  ] as const;
  const bodies = CASES.map(([, body], index) => `if (world.parameters.which === ${index}) { ${body} }`).join("\n");
  const source = behaving(bodies, "parameters: { which: 0 }, messages: ['m'], onMessage() {}, onStart(agent, world) { if (world.parameters.which === -1) agent.send('m', 1); },");
  let sandbox: Sandbox;
  beforeAll(async () => { sandbox = await startSandbox(moduleOf(source), BOUNDS); });
  afterAll(() => sandbox.end());
  const begin = async (which: number): Promise<void> => {
    await sandbox.open({ ticks: 1, agents: 600, blockAgents: 256, personas: [{ key: [1, 2], agents: 600 }], parameters: { which } });
    await sandbox.hold(0, null);
  };

  test.each(CASES.map(([what, , reason], index) => [what, index, reason] as const))("%s", async (_, which, reason) => {
    await begin(which);
    await expect(sandbox.step({ block: 0, tick: 0, inbox: new Uint8Array(0), withState: false, isDouble: false })).rejects.toMatchObject({ place: 5, message: expect.stringContaining(reason) });
  });

  test("sends before tick 0", async () => {
    await expect(begin(-1)).rejects.toMatchObject({ place: 0, message: expect.stringContaining("onStart cannot send") });
  });
});

test("variables of the module begin anew with every block and tick", async () => {
  const source = behaving("").replace("export default", "let seen = 0;\nexport default").replace('agent.count("a");', 'seen += 1; agent.count("a", seen > 256 ? 1 : 0);');
  await expect(ticksOf(await planOf(source), startBehaviorPool(1, BOUNDS))).resolves.toBeUndefined();
});

test("where the realm is left open, the second computation finds what depends on chance, with tick and agents", async () => {
  const plan = await planOf(behaving("const m = Math, name = 'ran' + 'dom'; if (m[name]() < 0.5) agent.state.x = 1;"));
  await expect(ticksOf(plan, startBehaviorPool(1, BOUNDS, { ...realmScripts(), seal: "" }))).rejects.toMatchObject({
    code: "DIVERGENCE", message: expect.stringMatching(/behavior "suspect", tick 0, agents 0 to 255 of persona agent: computed twice/),
  });
});

test("the process may read no file, write none, start nothing and load no addon", () => {
  const program = `console.log(JSON.stringify(["fs.read", "fs.write", "child", "worker", "addons", "wasi", "inspector"].map((each) => process.permission.has(each))))`;
  expect(JSON.parse(execFileSync(process.execPath, [...PROCESS_FLAGS, "-e", program], { encoding: "utf8", env: {} }))).toEqual(new Array(7).fill(false));
});
