// What people get wrong: each is answered with a code, a message naming the place, exit 2, and nothing half written.
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { RandomStream, type ErrorCode } from "@populace/domain";
import { beforeAll, describe, expect, test } from "vitest";
import { populace, populaceJson, sharedTemporaryFolder } from "./helpers/process.ts";

const SCHEMA = `name: shop
recipient: id
attributes:
  age: {kind: continuous, unit: years}
  region: categorical
stimulus:
  column: arm
  stimuli: {none: {contact: false}, mail: {channel: email}}
assignment: randomized
funnel: [visit]
`;

const folder = sharedTemporaryFolder();
const at = (name: string): string => join(folder(), name);

function write(name: string, content: string | Uint8Array): string {
  writeFileSync(at(name), content);
  return at(name);
}

function rows(count: number, from = 0): string {
  const random = RandomStream.of(3, `rows ${from}`);
  const lines = Array.from({ length: count }, (_, index) => {
    const arm = random.uniform() < 0.5 ? "none" : "mail";
    return `r${from + index},${20 + random.integer(50)},${["north", "south"][random.integer(2)]},${arm},${random.uniform() < (arm === "mail" ? 0.3 : 0.2) ? 1 : 0}`;
  });
  return `id,age,region,arm,visit\n${lines.join("\n")}\n`;
}

/** Runs a command that must be refused; returns the message. */
async function refused(code: ErrorCode, args: readonly string[]): Promise<string> {
  const before = readdirSync(folder()).toSorted();
  const { code: exit, stdout, stderr } = await populace([...args, "--json"], { cwd: folder() });
  expect(`${stdout}${stderr}`).not.toMatch(/^\s+at .+:\d+:\d+/m);
  expect(exit, stderr).toBe(2);
  const { error } = JSON.parse(stdout) as { error: { code: string; message: string } };
  expect(error.code, error.message).toBe(code);
  expect(readdirSync(folder()).filter((file) => file !== ".populace").toSorted()).toEqual(before.filter((file) => file !== ".populace"));
  return error.message;
}

const fit = (data: string, schema = at("schema.yaml")): readonly string[] => ["fit", "--schema", schema, "--data", data, "--out", at("refused.json"), "--worlds", "16"];

beforeAll(async () => {
  write("schema.yaml", SCHEMA);
  write("good.csv", rows(600));
  write("study.yaml", "agents: 2000\nticks: 2\n");
  await populaceJson(["fit", "--schema", at("schema.yaml"), "--data", at("good.csv"), "--out", at("model.json"), "--personas", "2", "--worlds", "16"]);
});

describe("bad input", () => {
  test("an option nobody knows", async () => {
    const { code, stderr, stdout } = await populace(["fit", "--shcema", "x.yaml"]);
    expect(code).toBe(2);
    expect(stdout).toBe("");
    expect(stderr).toContain("--shcema");
    await refused("BAD_USAGE", ["fit", "--shcema", "x.yaml"]);
  });

  test("a schema that is not there, is no schema, or misspells a key", async () => {
    expect(await refused("FILE_MISSING", fit(at("good.csv"), at("no-such.yaml")))).toContain("no-such.yaml");
    expect(await refused("BAD_SCHEMA", fit(at("good.csv"), write("list.yaml", "- 1\n- 2\n")))).toContain("list.yaml");
    expect(await refused("BAD_SCHEMA", fit(at("good.csv"), write("typo.yaml", SCHEMA.replace("funnel:", "funel:"))))).toContain("funnel");
  });

  test("a data file that is not there, is empty, or lacks a column", async () => {
    expect(await refused("FILE_MISSING", fit(at("nowhere.csv")))).toContain("nowhere.csv");
    expect(await refused("BAD_DATA", fit(write("empty.csv", "")))).toContain("empty.csv");
    expect(await refused("BAD_DATA", fit(write("narrow.csv", rows(50).replaceAll(/,(?:north|south|region)(?=,)/g, ""))))).toContain("region");
  });

  test("rows with numbers that are none, beyond the share that is tolerated, are named by line", async () => {
    const message = await refused("BAD_DATA", fit(write("nan.csv", rows(200).replaceAll(/^(r\d+),\d+/gm, "$1,NaN"))));
    expect(message).toMatch(/nan\.csv/);
    expect(message).toMatch(/line 2|:2/);
    expect(message).toContain("age");
  });

  test("a gzip that was cut short", async () => {
    const whole = gzipSync(rows(5_000));
    expect(await refused("BAD_DATA", fit(write("short.csv.gz", whole.subarray(0, whole.length >> 1))))).toContain("short.csv.gz");
  });

  test("a line of ten million characters", async () => {
    expect(await refused("BAD_DATA", fit(write("long.csv", `${rows(50)}r,${"9".repeat(10_000_000)},north,mail,1\n`)))).toContain("long.csv");
  });

  test("an attribute with one value, and a response that never happens", async () => {
    const one = rows(300).replaceAll(/,(?:north|south),/g, ",north,");
    const { code, stdout } = await populace([...fit(write("constant.csv", one)).with(6, at("constant.json")), "--json"], { cwd: folder() });
    // A constant says nothing and harms nothing: fitted with a note, or refused by name, but never a crash.
    if (code === 0) expect(existsSync(at("constant.json"))).toBe(true);
    else expect((JSON.parse(stdout) as { error: { code: string } }).error.code).toBe("DEGENERATE_DATA");
    expect([0, 2]).toContain(code);
  });

  test("a model that is no model, and one whose bytes were changed", async () => {
    await refused("BAD_MODEL", ["simulate", "--model", write("cut.json", '{"formatVersion":'), "--study", at("study.yaml")]);
    await refused("FILE_MISSING", ["simulate", "--model", at("none.json"), "--study", at("study.yaml")]);
  });

  test("a study with an unknown key, an unknown stimulus, or more agents than can be counted or waited for", async () => {
    const simulate = (study: string): readonly string[] => ["simulate", "--model", at("model.json"), "--study", study];
    expect(await refused("BAD_STUDY", simulate(write("typo-study.yaml", "agentss: 5\n")))).toContain("agents");
    expect(await refused("BAD_STUDY", simulate(write("unknown-study.yaml", "stimuli: [male]\n")))).toContain("mail");
    expect(await refused("TOO_LARGE", [...simulate(at("study.yaml")), "--agents", "5e9"])).toMatch(/4294901760/);
    expect(await refused("TOO_LARGE", [...simulate(at("study.yaml")), "--agents", "4e9", "--ticks", "3650"])).toMatch(/hours at .* exposures a second on this machine|must be held/);
  });

  test("rows the model has seen, offered as held-out rows", async () => {
    expect(await refused("SEEN_ROWS", ["backtest", "--model", at("model.json"), "--data", at("good.csv")])).toContain("good.csv");
  });

  test("a run nobody knows", async () => {
    await refused("NOT_FOUND", ["runs", "show", "0123456789abcdef"]);
  });
});
