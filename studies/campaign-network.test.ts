import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { JunctionTree, RandomStream, evidenceOf, learnTables } from "@populace/domain";
import type { PopulaceError } from "@populace/domain";
import { binOf, campaignRows, forgetCampaignRows, learnCampaignNetwork } from "./campaign-network.ts";
import { readDataset, selectRows } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { fitModel } from "./fit.ts";
import { networkText, parseNetwork } from "./network-file.ts";
import { askNetwork, compareRates, explainEvidence, explainPersona } from "./network-questions.ts";
import { parseSchema } from "./schema.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-network-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SCHEMA = `
name: shop
attributes: { age: continuous, loyal: binary, region: categorical }
stimulus: { column: arm, stimuli: { hold: { contact: false }, mail: { channel: email }, sms: { channel: sms, offer: { priceCut: 0.2 } }, text: { channel: sms } } }
assignment: randomized
funnel: [visit, buy]
`;

/** P(visit) by arm for loyal people and others; the age changes nothing but loyalty. */
const RATES = { hold: [0.05, 0.2], mail: [0.15, 0.4], sms: [0.3, 0.5], text: [0.1, 0.25] } as const;

async function shop(rows: number, seed: number, missing = 0): Promise<Dataset> {
  const random = RandomStream.of(seed, "shop");
  const lines = ["age,loyal,region,arm,visit,buy"];
  for (let row = 0; row < rows; row++) {
    const age = 20 + Math.floor(60 * random.uniform()), loyal = random.uniform() < (age > 50 ? 0.7 : 0.2) ? 1 : 0;
    const arm = (["hold", "mail", "sms", "text"] as const)[random.integer(4)];
    const visit = random.uniform() < RATES[arm][loyal] ? 1 : 0, buy = visit === 1 && random.uniform() < 0.3 ? 1 : 0;
    const known = (value: string | number): string => (random.uniform() < missing ? "" : String(value));
    lines.push([known(age), known(loyal), known(["north", "south"][random.integer(2)]), arm, visit, buy].join(","));
  }
  const path = join(folder, `${rows}-${seed}-${missing}.csv`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return readDataset(parseSchema(SCHEMA), path);
}

describe("a campaign's network", () => {
  test("has the arcs that made the data, rates within their intervals, and none against time", async () => {
    const campaign = learnCampaignNetwork(await shop(8000, 1));
    const { network } = campaign.learned;
    const parentsOf = (name: string): readonly string[] => network.parents[network.variables.findIndex((variable) => variable.name === name)].map((parent) => network.variables[parent].name).toSorted();
    expect(campaign.variables.map(({ name, role }) => `${role} ${name}`)).toEqual(["attribute age", "attribute loyal", "attribute region", "stimulus stimulus", "stimulus part stimulus.channel", "stimulus part stimulus.priceCut", "step visit", "step buy"]);
    expect(parentsOf("visit")).toEqual(["loyal", "stimulus"]);
    expect(parentsOf("buy")).toEqual(["visit"]);
    expect(parentsOf("stimulus")).toEqual([]);
    expect(parentsOf("region")).toEqual([]);
    expect([...parentsOf("age"), ...parentsOf("loyal")]).toHaveLength(1);
    let inside = 0;
    for (const [arm, rates] of Object.entries(RATES)) rates.forEach((rate, loyal) => {
      const { states } = askNetwork({ network, learned: campaign.learned }, { query: ["visit"], evidence: { stimulus: arm, loyal: String(loyal) } });
      const { probability, interval } = states[1];
      expect(interval!.low).toBeLessThan(probability);
      expect(interval!.high).toBeGreaterThan(probability);
      inside += interval!.low <= rate && rate <= interval!.high ? 1 : 0;
    });
    // Eight intervals of 90 %: fewer than five inside would happen once in 2,000 data sets.
    expect(inside).toBeGreaterThanOrEqual(5);
  });

  test("answers what-if questions about what stimuli have in common, and names what cannot be", async () => {
    const campaign = learnCampaignNetwork(await shop(4000, 2));
    const asked = { network: campaign.learned.network, learned: campaign.learned };
    const sms = askNetwork(asked, { query: ["visit"], evidence: { "stimulus.channel": "sms", loyal: "1" } }).states[1];
    const [cut, plain] = ["sms", "text"].map((stimulus) => askNetwork(asked, { query: ["visit"], evidence: { stimulus, loyal: "1" } }).states[1].probability);
    expect(sms.probability).toBeGreaterThan(Math.min(cut, plain));
    expect(sms.probability).toBeLessThan(Math.max(cut, plain));
    expect(askNetwork(asked, { query: ["visit"], evidence: { "stimulus.priceCut": "0.2", loyal: "1" } }).states[1].probability).toBeCloseTo(cut, 12);
    expect(() => askNetwork(asked, { query: ["age"], evidence: { loyal: "1", visit: "no", buy: "yes" } })).toThrow(expect.objectContaining({ code: "IMPOSSIBLE_EVIDENCE", message: expect.stringContaining("visit=no, buy=yes cannot be") as string }) as Error);
    expect(explainEvidence(asked, ["visit", "buy"], { evidence: { stimulus: "hold" } })).toMatchObject({ states: { visit: "no", buy: "no" } });
    expect(() => askNetwork(asked, { query: ["visit", "visit"], evidence: {} })).toThrow(/twice/);
  });

  test("obeys arcs that are required and forbidden, and refuses those against time", async () => {
    const data = await shop(1500, 3);
    const { network } = learnCampaignNetwork(data, { required: [["region", "buy"]], forbidden: [["stimulus", "visit"]] }).learned;
    const parents = (name: string): readonly string[] => network.parents[network.variables.findIndex((variable) => variable.name === name)].map((parent) => network.variables[parent].name);
    expect(parents("buy")).toContain("region");
    expect(parents("visit")).not.toContain("stimulus");
    expect(() => learnCampaignNetwork(data, { required: [["visit", "age"]] })).toThrow(/visit -> age runs against time/);
    expect(() => learnCampaignNetwork(data, { required: [["visits", "buy"]] })).toThrow(/did you mean "visit"/);
  });

  test("with missing values rests on complete rows, or on all by expectation, and says so", async () => {
    const data = await shop(3000, 4, 0.15);
    const dropped = learnCampaignNetwork(data), filled = learnCampaignNetwork(data, { missing: "em" });
    expect(dropped.learning.completeRows).toBeLessThan(2100);
    expect(dropped.notes.join()).toMatch(/rows lack a value; they were left out/);
    expect(filled.learning).toMatchObject({ missing: "em", completeRows: dropped.learning.completeRows, rows: 3000 });
    expect(filled.learning.rounds).toBeGreaterThan(1);
    // Known in every row, so all of them count.
    const stimulus = filled.variables.findIndex(({ role }) => role === "stimulus");
    expect(filled.learned.counts[stimulus].reduce((sum, count) => sum + count, 0)).toBeCloseTo(3000, 6);
    expect(dropped.learned.counts[stimulus].reduce((sum, count) => sum + count, 0)).toBe(dropped.learning.completeRows);
  });

  test("forgets a subject to the bit: what is left is what the others' rows count, tables and intervals too", async () => {
    const data = await shop(600, 5);
    const model = fitModel(data.schema, data, { personas: 2, worlds: 16 });
    const campaign = learnCampaignNetwork(data, { model });
    const gone = [7, 8, 599], kept = Array.from({ length: 600 }, (_, row) => row).filter((row) => !gone.includes(row));
    const { campaign: rest, forgotten } = forgetCampaignRows(campaign, selectRows(data, gone), model);
    expect([forgotten, rest.learning.rows]).toEqual([3, 597]);
    // The others alone, in the same bins and with the same arcs.
    const { variables, parents } = rest.learned.network, { rows } = campaignRows(data, { model });
    const width = variables.length, states = new Int16Array(kept.length * width);
    kept.forEach((row, at) => states.set(rows.states.subarray(row * width, (row + 1) * width), at * width));
    expect(rest.learned).toEqual(learnTables("shop", variables, parents, { states, rows: kept.length, weight: null }, campaign.learned.impossible));
    expect(() => forgetCampaignRows(campaign, selectRows(data, gone))).toThrow(expect.objectContaining({ code: "BAD_USAGE" }) as Error);
    const filled = learnCampaignNetwork(await shop(600, 5, 0.1), { missing: "em" });
    expect(() => forgetCampaignRows(filled, selectRows(data, gone))).toThrow(expect.objectContaining({ code: "DEGENERATE_DATA" }) as Error);
  });

  test("of too few rows is refused", async () => {
    const data = await shop(25, 6);
    expect(() => learnCampaignNetwork(data)).toThrow(expect.objectContaining({ code: "DEGENERATE_DATA" }) as Error);
  });
});

describe("with a model's personas", () => {
  test("the network's rates meet the model's, the disagreement is said, and a persona is explained", async () => {
    const data = await shop(4000, 7);
    const model = fitModel(data.schema, data, { personas: 2, worlds: 50 });
    const campaign = learnCampaignNetwork(data, { model });
    const persona = campaign.variables.find(({ role }) => role === "persona")!;
    expect(persona.states).toEqual(model.mixture.personas.map(({ id }) => id));
    const rates = persona.states.map((id) => ({ persona: id, stimulus: "mail", step: "visit", mean: 0.5, low: 0.45, high: 0.55 }));
    const { rows, leftOut } = compareRates(campaign.learned, [...rates, { ...rates[0], stimulus: "new" }]);
    expect([rows.length, leftOut]).toEqual([2, 1]);
    for (const row of rows) {
      expect(row.difference).toBeCloseTo(row.network.mean - 0.5, 12);
      expect(row.agrees).toBe(row.network.high >= 0.45);
      const answer = askNetwork({ network: campaign.learned.network, learned: null }, { query: ["visit"], evidence: { persona: row.persona, stimulus: "mail" } });
      expect(row.network.mean).toBe(answer.states[1].probability);
    }
    expect(() => compareRates(campaign.learned, [{ ...rates[0], persona: "nobody" }])).toThrow(/knows none of the personas/);

    const found = explainPersona({ network: campaign.learned.network, learned: campaign.learned }, { persona: persona.states[0], step: "visit", among: ["age", "loyal", "region", "stimulus"] });
    expect(found.inPersona.mean).not.toBeCloseTo(found.ofAll.mean, 4);
    for (const influence of found.influences) {
      // The pull in its own words: shares and rates of the states.
      const pull = influence.states.reduce((sum, state) => sum + (state.shareInPersona - state.shareOfAll) * state.rateOfAll.mean, 0);
      expect(influence.pull.mean).toBeCloseTo(pull, 3);
      const average = influence.states.reduce((sum, state) => sum + state.shareInPersona * state.rateInPersona.mean, 0);
      expect(average).toBeCloseTo(found.inPersona.mean, 2);
    }
    expect(found.influences.find(({ variable }) => variable === "stimulus")!.within).toBeGreaterThan(0.05);
    expect(found.influences.find(({ variable }) => variable === "region")!.pull.mean).toBeCloseTo(0, 2);
  });
});

describe("a network file", () => {
  test("written and read again answers the same to the bit", async () => {
    const campaign = learnCampaignNetwork(await shop(800, 8));
    const read = parseNetwork(networkText(campaign));
    expect(read.campaign).toEqual(campaign);
    expect(networkText(read.campaign!)).toBe(networkText(campaign));
  });

  test("may be written by hand, without counts and then without intervals", () => {
    const file = parseNetwork("name: coin\nvariables:\n  - { name: a, states: [yes, no], table: [0.25, 0.75] }\n  - { name: b, states: [x, z], parents: [a], table: [1, 0, 0.5, 0.5] }\n");
    expect(file.campaign).toBeNull();
    const answer = askNetwork(file, { query: ["b"], evidence: {} });
    expect(answer.states[0]).toEqual({ names: ["x"], probability: 0.625, interval: null });
    expect(new JunctionTree(file.network).beliefs(evidenceOf(file.network, { b: "z" })).marginals[0][0]).toBe(0);
  });

  test.each([
    ["an unknown key", "variables: [{ name: a, states: [x], table: [1], hue: red }]", /^n\.json:1: variables\[0\]\.hue: unknown key/],
    ["a number that is none", "variables:\n  - name: a\n    states: [x, z]\n    table: [0.5, half]\n", /^n\.json:4: variables\[0\]\.table\[1\]: expected a number/],
    ["rows that do not add to 1", "variables:\n  - name: a\n    states: [x, z]\n    table: [0.5, 0.4]\n", /^n\.json:2: variables\[0\]: .*row 1 of "a" adds to 0\.9/],
    ["a cycle", "variables:\n  - { name: a, states: [x], parents: [b], table: [1] }\n  - { name: b, states: [x], parents: [a], table: [1] }\n", /cycle: (a -> b -> a|b -> a -> b)/],
    ["no variables", "name: nothing", /expected a list of variables/],
  ])("with %s is refused with its line", (_, text, message) => {
    try {
      parseNetwork(text, "n.json");
      expect.unreachable();
    } catch (error) {
      expect((error as PopulaceError).code).toBe("BAD_NETWORK");
      expect((error as PopulaceError).message).toMatch(message);
    }
  });

  test("whose table is not what its counts say is refused", async () => {
    const document = JSON.parse(networkText(learnCampaignNetwork(await shop(300, 9)))) as { variables: { table: number[] }[] };
    const [first, second] = document.variables[0].table;
    document.variables[0].table.splice(0, 2, first! + 0.01, second! - 0.01);
    expect(() => parseNetwork(JSON.stringify(document))).toThrow(/not what its counts and prior give/);
  });
});

test("a bin holds what is above the edge before it and up to its own", () => {
  expect([1, 3, 3.5, 6, 7].map((value) => binOf([3, 6], value))).toEqual([0, 0, 1, 1, 2]);
});
