import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { RandomStream, logistic } from "@populace/domain";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cellRates } from "./cell-rates.ts";
import { codingsOf } from "./codings.ts";
import { readDataset } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";
import { OBSERVATIONS_DEFAULT, distillOnnx } from "./distill.ts";
import { modelText, parseModel } from "./model-file.ts";
import { constantBytes, linearOnnx, onnxFile } from "./onnx.fixture.ts";
import type { OnnxGraph } from "./onnx.fixture.ts";
import { loadOnnx, parseOnnxMapping } from "./onnx.ts";
import { RatePredictor } from "./predict.ts";
import { parseSchema } from "./schema.ts";

const folder = mkdtempSync(join(tmpdir(), "populace-onnx-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};

const SCHEMA = "name: shop\nrecipient: id\nattributes: {age: continuous, region: {kind: categorical, levels: [north, south]}, loyal: {kind: binary, levels: [no, yes]}}\nstimulus: {column: arm, stimuli: {none: {contact: false}, mail: {channel: email, offer: {priceCut: 0.2}}}}\nassignment: randomized\nfunnel: [visit, buy]\n";
const COUNT = 600;
const random = RandomStream.of(8, "recipients of the foreign model");
const people = Array.from({ length: COUNT }, (_, i) => ({ id: `r${i}`, age: Math.round(20 + 50 * random.uniform()), region: ["north", "south"][random.integer(2)], loyal: random.uniform() < 0.3 ? "yes" : "no" }));
const csv = (lines: readonly string[]): string => `id,age,region,loyal\n${lines.join("\n")}\n`;
const lines = people.map(({ id, age, region, loyal }) => `${id},${age},${region},${loyal}`);

/** Inputs by position: age, region=north, region=south, loyal, stimulus=none, stimulus=mail; outputs visit and buy per exposure. */
const WEIGHTS = [[0.02, 0.02], [0.5, 0.5], [-0.5, -0.5], [0.7, 0.7], [-0.4, -0.4], [0.6, 0.6]];
const BIAS = [-2, -3];
const truth = (person: (typeof people)[number], isMail: boolean, step: number): number => logistic(BIAS[step] + 0.02 * person.age + (person.region === "north" ? 0.5 : -0.5) + (person.loyal === "yes" ? 0.7 : 0) + (isMail ? 0.6 : -0.4));

let data: Dataset;
beforeAll(async () => {
  data = await readDataset(parseSchema(SCHEMA), file("people.csv", csv(lines)), { recipientsOnly: true });
});
const load = (content: Uint8Array, mapping?: string, dataset = data) => loadOnnx(file("m.onnx", content), dataset, codingsOf(dataset).codings, mapping === undefined ? undefined : parseOnnxMapping(mapping));
const score = async (content: Uint8Array, mapping?: string): Promise<Float64Array> => {
  const model = await load(content, mapping);
  return model.score([0, 1, 2], 1);
};
const refusal = (code: string, words: string | RegExp) => expect.objectContaining({ code, message: typeof words === "string" ? expect.stringContaining(words) : expect.stringMatching(words) });

describe("an ONNX model", () => {
  it("scores rows by position, by name, by a mapping; probabilities, logits, conditional steps; floats of either width", async () => {
    const expected = [0, 1, 2].flatMap((row) => [truth(people[row], true, 0), truth(people[row], true, 1)]);
    const close = (found: ArrayLike<number>): void => expected.forEach((value, at) => expect(found[at]).toBeCloseTo(value, 5));
    close(await score(linearOnnx(WEIGHTS, BIAS)));
    close(await score(linearOnnx(WEIGHTS, BIAS, false, "float64")));
    close(await score(linearOnnx(WEIGHTS, BIAS, true), "scale: logit"));
    // Another order of columns, and the stimulus told by its price cut: 5 x 0.2 is 1 for mail.
    close(await score(linearOnnx([[0.7, 0.7], [5, 5], [1, 1], [0.02, 0.02]], [-2.9, -3.9]), "inputs: {x: [loyal, offer.priceCut, region=north, age]}\n"));
    const conditional = await score(linearOnnx(WEIGHTS, [-2, -2]), "conditional: true");
    expect(conditional[1]).toBeCloseTo(truth(people[0], true, 0) ** 2, 5);
    // Inputs named like attributes, text among them, and a fixed batch of 2 rows.
    const named = onnxFile({
      inputs: [{ name: "age", type: "float32", shape: [2, 1] }, { name: "loyal", type: "int64", shape: [2, 1] }, { name: "arm", type: "string", shape: [2, 1] }],
      outputs: [{ name: "label", type: "int64", shape: [2, 1] }, { name: "probabilities", type: "float32", shape: [2, 2] }],
      constants: { W: { shape: [1, 2], values: [0.02, 0.02] }, b: { shape: [2], values: [-2, -3] } },
      nodes: [{ type: "Gemm", inputs: ["age", "W", "b"], outputs: ["z"] }, { type: "Sigmoid", inputs: ["z"], outputs: ["probabilities"] }, { type: "Identity", inputs: ["loyal"], outputs: ["label"] }, { type: "Identity", inputs: ["arm"], outputs: ["unused"] }],
    });
    const byName = await score(named);
    [0, 1, 2].forEach((row) => expect(byName[row * 2]).toBeCloseTo(logistic(-2 + 0.02 * people[row].age), 5));
  });

  it("refuses what does not fit: no model, inputs of another width, type or name, outputs that are no probabilities", async () => {
    await expect(loadOnnx(join(folder, "nowhere.onnx"), data, [])).rejects.toEqual(refusal("FILE_MISSING", "nowhere.onnx"));
    await expect(load(new TextEncoder().encode("not a model"))).rejects.toEqual(refusal("BAD_MODEL", "cannot be loaded"));
    await expect(load(linearOnnx(WEIGHTS.slice(1), BIAS))).rejects.toEqual(refusal("BAD_MODEL", /input "x" \["rows",5\] .* 6 columns come by position \(age, region=north, region=south, loyal, stimulus=none, stimulus=mail\)/));
    await expect(load(linearOnnx(WEIGHTS, BIAS), "inputs: {x: [age, loyal]}")).rejects.toEqual(refusal("BAD_MODEL", 'input "x" has 6 columns; the mapping makes 2 (age, loyal)'));
    await expect(load(linearOnnx(WEIGHTS.slice(0, 1), BIAS), "inputs: {x: [region]}")).rejects.toEqual(refusal("BAD_MODEL", 'input "x" is of type float32, column "region" is text; give one column a level, such as region=LEVEL'));
    await expect(load(linearOnnx(WEIGHTS.slice(0, 1), BIAS), "inputs: {x: [agee]}")).rejects.toEqual(refusal("BAD_SCHEMA", 'column "agee" is neither an attribute nor told of a stimulus; did you mean "age"?'));
    await expect(load(linearOnnx(WEIGHTS.slice(0, 1), BIAS), "inputs: {x: [stimulus=male]}")).rejects.toEqual(refusal("BAD_SCHEMA", 'no stimulus is named "male"; known: none, mail'));
    await expect(load(linearOnnx(WEIGHTS, BIAS), "inputs: {y: [age]}")).rejects.toEqual(refusal("BAD_SCHEMA", 'the mapping names input "y", the model has x'));
    await expect(load(linearOnnx(WEIGHTS, BIAS), "output: q")).rejects.toEqual(refusal("BAD_MODEL", 'output "q" is no tensor of floats; the model has p'));
    await expect(score(linearOnnx(WEIGHTS, BIAS), "columns: {visit: 0}")).rejects.toEqual(refusal("BAD_MODEL", 'step "buy": no column of 2'));
    await expect(score(linearOnnx(WEIGHTS.map(([w]) => [w, w, w]), [0, 0, 0]))).rejects.toEqual(refusal("BAD_MODEL", "the output has 3 columns for 2 steps (visit, buy)"));
    await expect(score(linearOnnx(WEIGHTS, [9, 9], true))).rejects.toEqual(refusal("BAD_DATA", /row 1 with stimulus "mail": output "p" column 0 is .*; expected a probability \(or `scale: logit`/));
    await expect(score(linearOnnx(WEIGHTS, [-3, -2]))).rejects.toEqual(refusal("BAD_DATA", /row 1: step "buy" has probability .*, above .* of "visit" before it/));
    const gap = await readDataset(parseSchema(SCHEMA), file("gap.csv", csv(lines.map((line, i) => (i === 1 ? line.replace(/,\d+,/, ",,") : line)))), { recipientsOnly: true });
    const broken = await load(linearOnnx(WEIGHTS, BIAS), undefined, gap);
    await expect(broken.score([0, 1, 2], 1)).rejects.toEqual(refusal("BAD_DATA", /row 2 .* is NaN; expected a probability \(is an attribute missing\? then `missing: mean`/));
    const mended = await load(linearOnnx(WEIGHTS, BIAS), "missing: mean", gap);
    expect((await mended.score([0, 1, 2], 1)).every((value) => value > 0 && value < 1)).toBe(true);
  });
});

describe("an ONNX model as PyTorch and Keras export it", () => {
  /** Scores of the linear model's terms, which a graph computes as `z`, read through more nodes. */
  const graph = (columns: number, values: readonly number[], nodes: OnnxGraph["nodes"], outputs: OnnxGraph["outputs"]): OnnxGraph => ({
    inputs: [{ name: "x", type: "float32", shape: [null, 6] }],
    outputs,
    constants: { W: { shape: [6, columns], values: WEIGHTS.flatMap(([weight]) => values.map((scale) => weight * scale)) }, b: { shape: [columns], values: values.map((scale, at) => BIAS[0] * scale - (scale === 0 ? 0 : at / 2)) } },
    nodes: [{ type: "Gemm", inputs: ["x", "W", "b"], outputs: ["z"] }, ...nodes],
  });
  const logit = (row: number): number => Math.log(truth(people[row], true, 0) / (1 - truth(people[row], true, 0)));

  it("finds weights beside the file under its name with .data, and names the file that they were exported to otherwise", async () => {
    const model = (constantsFile?: string): Uint8Array => onnxFile({ ...graph(2, [1, 1], [{ type: "Sigmoid", inputs: ["z"], outputs: ["p"] }], [{ name: "p", type: "float32", shape: [null, 2] }]), ...(constantsFile === undefined ? {} : { constantsFile }) });
    const { constants } = graph(2, [1, 1], [], []);
    const inside = await score(model());
    const path = file("beside.onnx", model("beside.onnx.data"));
    const { codings } = codingsOf(data);
    await expect(loadOnnx(path, data, codings)).rejects.toEqual(refusal("BAD_MODEL", 'its weights lie in a file of their own, "beside.onnx.data"; put them beside it as beside.onnx.data'));
    file("beside.onnx.data", constantBytes(constants));
    const beside = await loadOnnx(path, data, codings);
    expect([...await beside.score([0, 1, 2], 1)]).toEqual([...inside]);
    // Other weights are another model.
    file("beside.onnx.data", constantBytes({ ...constants, b: { shape: [2], values: [-4, -5] } }));
    const other = await loadOnnx(path, data, codings);
    expect(other.sha256).not.toBe(beside.sha256);
    expect((await other.score([0], 1))[0]).toBeLessThan(inside[0]);
    file("renamed.onnx.data", constantBytes(constants));
    await expect(loadOnnx(file("renamed.onnx", model("weights.bin")), data, codings)).rejects.toEqual(refusal("BAD_MODEL", 'a file of their own, "weights.bin"; put them beside it as renamed.onnx.data, if that is the name'));
  });

  it("takes an output a step, by the steps' names or by the mapping", async () => {
    const heads = (visit: string, buy: string): Uint8Array => onnxFile(graph(2, [1, 1], [
      { type: "Sigmoid", inputs: ["z"], outputs: ["p"] }, { type: "Split", inputs: ["p"], outputs: [visit, buy], attributes: { axis: 1 } },
    ], [buy, visit].map((name) => ({ name, type: "float32", shape: [null, 1] }))));
    const named = await score(heads("visit", "buy"));
    [0, 1, 2].forEach((row) => {
      expect(named[row * 2]).toBeCloseTo(logistic(logit(row)), 5);
      expect(named[row * 2 + 1]).toBeCloseTo(logistic(logit(row) - 0.5), 5);
    });
    expect([...await score(heads("first", "second"), "output: {visit: first, buy: second}")]).toEqual([...named]);
    await expect(score(heads("first", "second"))).rejects.toEqual(refusal("BAD_MODEL", "or one a step, {output: {visit: NAME, ...}}"));
    await expect(score(heads("first", "second"), "output: {visit: first, buy: secnd}")).rejects.toEqual(refusal("BAD_MODEL", 'did you mean "second"?'));
    await expect(score(heads("first", "second"), "output: {visit: first}")).rejects.toEqual(refusal("BAD_MODEL", 'step "buy" has no output in the mapping'));
  });

  it("adds up the classes of a softmax, of probabilities or of logits, and refuses to add up logits", async () => {
    // Classes: nothing, a visit only, a purchase.
    const classes = (isLogit: boolean): Uint8Array => onnxFile(graph(3, [0, 1, 1], isLogit ? [{ type: "Identity", inputs: ["z"], outputs: ["classes"] }] : [{ type: "Softmax", inputs: ["z"], outputs: ["classes"], attributes: { axis: 1 } }], [{ name: "classes", type: "float32", shape: [null, 3] }]));
    const columns = "columns: {visit: [1, 2], buy: 2}\n", expected = [0, 1, 2].flatMap((row) => {
      const [visit, buy] = [Math.exp(logit(row) - 0.5), Math.exp(logit(row) - 1)];
      return [(visit + buy) / (1 + visit + buy), buy / (1 + visit + buy)];
    });
    for (const found of [await score(classes(false), columns), await score(classes(true), `${columns}scale: softmax\n`)]) expected.forEach((value, at) => expect(found[at]).toBeCloseTo(value, 5));
    await expect(score(classes(true), `${columns}scale: logit\n`)).rejects.toEqual(refusal("BAD_MODEL", 'step "visit": logits of columns 1, 2 do not add up; logits of classes, of which one happens, are {scale: softmax}'));
    await expect(score(classes(false))).rejects.toEqual(refusal("BAD_MODEL", "of classes by the last step that is reached, {columns: {visit: [1, 2], buy: 2}}"));
  });

  it("feeds integers with the numbers of levels, and refuses a level or a missing value that has none", async () => {
    const coded = onnxFile({
      inputs: [{ name: "region", type: "int64", shape: [null, 1] }, { name: "age", type: "int64", shape: [null, 1] }],
      outputs: [{ name: "p", type: "float32", shape: [null, 2] }],
      constants: { R: { shape: [1, 2], values: [0.5, 0.5] }, A: { shape: [1, 2], values: [0.02, 0.02] }, b: { shape: [2], values: [-2, -3] } },
      nodes: [
        { type: "Cast", inputs: ["region"], outputs: ["r"], attributes: { to: 1 } }, { type: "Cast", inputs: ["age"], outputs: ["a"], attributes: { to: 1 } },
        { type: "Gemm", inputs: ["r", "R", "b"], outputs: ["z0"] }, { type: "Gemm", inputs: ["a", "A", "z0"], outputs: ["z"] }, { type: "Sigmoid", inputs: ["z"], outputs: ["p"] },
      ],
    });
    const found = await score(coded, "codes: {region: [south, north]}");
    [0, 1, 2].forEach((row) => expect(found[row * 2]).toBeCloseTo(logistic(-2 + 0.5 * (people[row].region === "north" ? 1 : 0) + 0.02 * people[row].age), 5));
    await expect(load(coded)).rejects.toEqual(refusal("BAD_MODEL", "or its levels numbers: {codes: {region: [...]}}"));
    await expect(load(coded, "codes: {regoin: [south, north]}")).rejects.toEqual(refusal("BAD_SCHEMA", 'the mapping\'s codes name "regoin"; did you mean "region"?'));
    const level = people.findIndex(({ region }) => region === "north");
    const unknown = await load(coded, "codes: {region: [south]}");
    await expect(unknown.score([level], 1)).rejects.toEqual(refusal("BAD_DATA", `row ${level + 1}: region is "north", which has no number in the mapping's codes (south)`));
    const gap = await readDataset(parseSchema(SCHEMA), file("ageless.csv", csv(lines.map((line, i) => (i === 1 ? line.replace(/,\d+,/, ",,") : line)))), { recipientsOnly: true });
    const broken = await load(coded, "codes: {region: [south, north]}", gap);
    await expect(broken.score([0, 1, 2], 1)).rejects.toEqual(refusal("BAD_DATA", 'row 2: nothing for column "age", and input "age" of type int64 has no word for it'));
    const mended = await load(coded, "{codes: {region: [south, north]}, missing: mean}", gap);
    expect((await mended.score([0, 1, 2], 1)).every((value) => value > 0 && value < 1)).toBe(true);
  });

  it("names an input that the mapping leaves out: a constant that the exporter did not fold in", async () => {
    const dangling = onnxFile({
      inputs: [{ name: "x", type: "float32", shape: [null, 1] }, { name: "normalization/mean", type: "float32", shape: [1, 1] }],
      outputs: [{ name: "p", type: "float32", shape: [null, 1] }], constants: {},
      nodes: [{ type: "Sub", inputs: ["x", "normalization/mean"], outputs: ["z"] }, { type: "Sigmoid", inputs: ["z"], outputs: ["p"] }],
    });
    await expect(load(dangling, "inputs: {x: [age]}")).rejects.toEqual(refusal("BAD_MODEL", 'input "normalization/mean" [1,1] is not in the mapping, which names x; name its columns, or fold it into the model if it is a constant'));
  });
});

describe("distillation", () => {
  it("keeps a model of the same kind to a fraction of a point, says so, marks it as imported, and gives the same bits again", async () => {
    const path = file("linear.onnx", linearOnnx(WEIGHTS, BIAS));
    const options = { personas: 3, worlds: 64, observations: 5000 } as const;
    const { model, notes } = await distillOnnx(path, data, options);
    expect(model.imported).toMatchObject({ file: "linear.onnx", sha256: expect.stringMatching(/^[0-9a-f]{64}$/), observations: 5000, rows: COUNT, inputs: [{ name: "x", type: "float32" }], errors: [{ step: "visit" }, { step: "buy" }] });
    const [visit, buy] = model.imported!.errors;
    // Traits are int8 codes, which the foreign model did not know; given a visit, its buying is no logistic regression.
    expect(visit.mean < 0.002 && visit.p95 < 0.005 && visit.r2 > 0.999, JSON.stringify(visit)).toBe(true);
    expect(buy.mean < 0.006 && buy.p95 < 0.02 && buy.r2 > 0.9, JSON.stringify(buy)).toBe(true);
    expect(model.evidence).toBe("observational");
    expect(notes.join()).not.toContain("nobody said");
    expect(parseModel(modelText(model)).imported).toEqual(model.imported);
    expect(modelText((await distillOnnx(path, data, options)).model) === modelText(model)).toBe(true);
    expect(visit.mean).toBeGreaterThan(0);
  });

  it("intervals are those of the observations that are stated", async () => {
    const path = file("linear.onnx", linearOnnx(WEIGHTS, BIAS));
    const widths: number[] = [];
    for (const observations of [undefined, 100_000]) {
      const { model, notes } = await distillOnnx(path, data, { personas: 2, worlds: 200, ...(observations === undefined ? {} : { observations }) });
      expect(notes.some((note) => note.includes("nobody said"))).toBe(observations === undefined);
      const rates = new Float64Array(2 * 200);
      // An average person: missing attributes.
      new RatePredictor(model, model.response.stimuli[1]).rates(new Int16Array(3).fill(-32768), 0, 0, rates);
      const sorted = rates.slice(0, 200).toSorted();
      widths.push(sorted[189] - sorted[10]);
    }
    expect(OBSERVATIONS_DEFAULT).toBe(1000);
    // However many: they were seen elsewhere, and are no evidence of this audience until its own outcomes come in.
    const { model } = await distillOnnx(path, data, { personas: 2, worlds: 50, observations: 100_000 });
    expect([...new Set(cellRates(model).map(({ label, essReal }) => `${label} ${essReal}`))]).toEqual(["simulated only 0"]);
    const [landed] = cellRates({ ...model, outcomes: model.outcomes.map((cell, at) => (at === 0 ? { exposures: 400, responses: 390 } : cell)) });
    expect(landed).toMatchObject({ label: "real", essReal: 400 });
    expect(landed.mean).toBeGreaterThan(0.9);
    // A hundred times as many observations: a tenth of the width, but for the prior.
    expect(widths[0] / widths[1]).toBeGreaterThan(4);
  });

  it("says how much of a model that bends is lost, and refuses one that says the same of everybody", async () => {
    // Visits rise with loyalty in the north and fall with it in the south: a product of two attributes, through a second layer.
    const bent = onnxFile({
      inputs: [{ name: "x", type: "float32", shape: [null, 6] }], outputs: [{ name: "p", type: "float32", shape: [null, 2] }],
      constants: { N: { shape: [6, 2], values: [0, 0, 1, 1, -1, -1, 0, 0, 0, 0, 0, 0] }, L: { shape: [6, 2], values: [0, 0, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0] }, m: { shape: [2], values: [-1, -1] }, b: { shape: [2], values: [-1, -2] }, two: { shape: [2], values: [2, 2] } },
      nodes: [{ type: "MatMul", inputs: ["x", "N"], outputs: ["n"] }, { type: "MatMul", inputs: ["x", "L"], outputs: ["l0"] }, { type: "Add", inputs: ["l0", "m"], outputs: ["l"] }, { type: "Mul", inputs: ["n", "l"], outputs: ["c0"] }, { type: "Mul", inputs: ["c0", "two"], outputs: ["c"] }, { type: "Add", inputs: ["c", "b"], outputs: ["z"] }, { type: "Sigmoid", inputs: ["z"], outputs: ["p"] }],
    });
    const { model, notes } = await distillOnnx(file("bent.onnx", bent), data, { personas: 1, worlds: 16 });
    expect(model.imported!.errors[0].r2).toBeLessThan(0.5);
    expect(notes.join()).toMatch(/step "visit": \d+ % of the model's differences \(logits\) are kept/);
    await expect(distillOnnx(file("flat.onnx", linearOnnx(WEIGHTS.map(() => [0, 0]), [-200, -200])), data, { personas: 1, worlds: 16 })).rejects.toEqual(refusal("DEGENERATE_DATA", 'step "visit": the model says 0 for everybody'));
  });
});
