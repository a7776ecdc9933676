import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { PopulaceError } from "@populace/domain";
import { contact, handModel } from "./hand-model.fixture.ts";
import { compilePlan } from "./plan.ts";
import { readStudy } from "./study.ts";

const model = handModel({
  codings: [], personas: [{ id: "p1", share: 0.5, distributions: [] }, { id: "p2", share: 0.5, distributions: [] }], stimuli: [contact("mail"), contact("call")],
  steps: ["open", "buy"], terms: [{ kind: "intercept" }], coefficients: [[-1], [-1]], sd: 0, worlds: 8,
});
const refusal = (study: object | string): PopulaceError => {
  try {
    readStudy(study, model);
  } catch (error) {
    return error as PopulaceError;
  }
  throw new Error("was accepted");
};

describe("readStudy", () => {
  it("an empty study is a study", () => {
    expect(readStudy({}, model)).toMatchObject({ agents: 100_000, ticks: 30, everyTicks: 7, worlds: 8, seed: 1, personas: [], scenarios: [], influence: null, returnRate: 0 });
  });

  it("names become ids; new stimuli can be named in scenarios", () => {
    const study = readStudy({
      personas: ["p2"], newStimuli: [{ id: "text", channel: "sms", offer: { priceCut: 0.2 } }],
      scenarios: [{ name: "first", contacts: [{ stimulus: "text", fromTick: 2, everyTicks: 5, personas: ["p2"] }, { stimulus: "mail" }] }],
    }, model);
    expect(study.scenarios[0].contacts).toEqual([{ stimulus: "text", fromTick: 2, everyTicks: 5, personas: ["p2"] }, { stimulus: "mail", fromTick: 0, everyTicks: 0, personas: [] }]);
    expect(study.newStimuli[0]).toMatchObject({ id: "text", name: "text", contact: true, offer: { priceCut: 0.2 } });
  });

  it("says in which file, line and key something is wrong, and what was meant", () => {
    const path = join(mkdtempSync(join(tmpdir(), "study-")), "study.yaml");
    writeFileSync(path, "name: spring\nagents: 1000\ntiks: 4\n");
    expect(refusal(path)).toMatchObject({ code: "BAD_STUDY" });
    expect(refusal(path).message).toContain(`${path}:3: tiks: unknown key "tiks"; did you mean "ticks"?`);
    writeFileSync(path, "shocks:\n  - attitude: brand-warmth\n    size: 0.3\n    persona: p3\n");
    expect(refusal(path).message).toMatch(/study\.yaml:4: shocks\[0\]\.persona: unknown persona "p3"; did you mean "p1"\?/);
    expect(refusal(join(tmpdir(), "no such study.yaml")).code).toBe("FILE_MISSING");
  });

  it("refuses a half-life that is no time, and takes long and short ones", () => {
    const path = join(mkdtempSync(join(tmpdir(), "study-")), "study.yaml");
    for (const time of ["0", "-1", ".nan", ".inf", "1e308", "soon"]) {
      writeFileSync(path, `shocks:\n  - attitude: brand-warmth\n    size: 0.3\n    halfLifeTicks: ${time}\n`);
      expect(refusal(path), time).toMatchObject({ code: "BAD_STUDY", message: expect.stringMatching(/study\.yaml:4: shocks\[0\]\.halfLifeTicks: expected a number/) });
    }
    for (const halfLifeTicks of [0.01, 1e6]) {
      const study = readStudy({ agents: 100, ticks: 3, shocks: [{ attitude: "brand-warmth", size: 1, halfLifeTicks }] }, model);
      expect([...compilePlan(model, study).offset].every(Number.isSafeInteger)).toBe(true);
    }
  });

  it("refuses what it cannot rehearse", () => {
    for (const [study, message] of [
      [{ agents: Number.NaN }, "agents: expected a number; found the number NaN"],
      [{ agents: 0 }, "agents: expected a number from 1"],
      [{ agents: 5e9 }, "to 4294901760; found 5000000000"],
      [{ ticks: 1.5 }, "ticks: expected a whole number"],
      [{ worlds: 9 }, "worlds: expected a number from 1 to 8"],
      [{ stimuli: ["mial"] }, 'unknown stimulus "mial"; did you mean "mail"?'],
      [{ stimuli: ["mail", "mail"] }, "stimuli[1]: \"mail\" is named twice"],
      [{ newStimuli: [{ id: "mail" }] }, "newStimuli[0].id: \"mail\" is already a stimulus"],
      [{ scenarios: [{ name: "a", contacts: [] }] }, "scenarios[0].contacts: expected a list"],
      [{ scenarios: [{ name: "a", contacts: [{ stimulus: "mail" }] }, { name: "a", contacts: [{ stimulus: "call" }] }] }, "scenarios[1].name: \"a\" is used twice"],
      [{ influence: { graph: { kind: "ring" }, shareRate: 0.1 } }, "influence.graph.kind: expected one of edges, small-world, scale-free"],
      [{ influence: { graph: { kind: "small-world" }, shareRate: [0.1, 0.1, 0.1] } }, "expected one rate, or one for each of the 2 steps"],
      [{ shocks: [{ attitude: "warmth", size: 1 }] }, "shocks[0].attitude: expected one of"],
      [{ population: { form: "stored" } }, "population.form: expected one of auto, coded, factor"],
      [{ population: { factors: 6 } }, "population.factors: expected 4, 8, 12 or 16; found 6"],
      [{ population: { form: "factor", precision: "int16" } }, "the factor form has int8 factors"],
      [{ pressure: { gapTicks: 8 } }, "pressure.gapTicks: expected a number from 0 to 7"],
    ] as const) {
      expect(refusal(study)).toMatchObject({ code: "BAD_STUDY" });
      expect(refusal(study).message).toContain(message);
    }
  });
});
