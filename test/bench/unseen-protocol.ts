// Campaigns that a model has never seen: fit on all others, predict the one left out. What the intervals rest on is how much campaigns
// differ, so it takes many campaigns to judge them.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RandomStream, betaBinomialLogMass, betaBinomialPit } from "@populace/domain";
import { backtest, fitModel, parseSchema, readDataset, selectRows } from "@populace/studies";
import type { BacktestCell, Dataset } from "@populace/studies";
import { dataFile } from "../helpers/data.ts";
import { temporaryFolder } from "./peers/peer.ts";
import { readRealData } from "./real-data.ts";

/** A set of campaigns that went to comparable people. */
export interface Campaigns {
  readonly name: string;
  readonly data: Dataset;
  /** Groups of recipients within a campaign. */
  readonly cellsBy: readonly string[];
  /** From how many other campaigns each is predicted. */
  readonly after: readonly Others[];
}

export type Others = "one other" | "two others" | "all others";
const EVERY: readonly Others[] = ["one other", "two others", "all others"];

/** Six offers to the customers of a shop, each to all (customer-personality). */
async function offers(): Promise<Campaigns | null> {
  const path = dataFile("customer-personality", "marketing_campaign_half_a.csv");
  if (path === null) return null;
  const [header, ...rows] = table(path), at = (name: string): number => header!.indexOf(name);
  const attributes = ["Income", "Kidhome", "Teenhome", "Recency", "MntWines", "NumDealsPurchases", "NumCatalogPurchases", "NumStorePurchases"];
  const campaigns = ["AcceptedCmp1", "AcceptedCmp2", "AcceptedCmp3", "AcceptedCmp4", "AcceptedCmp5", "Response"];
  const lines = campaigns.flatMap((column) => rows.map((row) => [...attributes.map((name) => row[at(name)]), column, row[at(column)]]));
  return {
    name: "six offers of a shop", cellsBy: ["Kidhome<=0", "MntWines<=200"], after: EVERY,
    data: await datasetOf([[...attributes, "campaign", "accepted"], ...lines], {
      attributes: { Income: numeric("log1p"), Kidhome: { kind: "count" }, Teenhome: { kind: "count" }, Recency: numeric("identity"), MntWines: numeric("log1p"), NumDealsPurchases: { kind: "count" }, NumCatalogPurchases: { kind: "count" }, NumStorePurchases: { kind: "count" } },
      stimulus: "campaign", assignment: "unknown", funnel: ["accepted"],
    }),
  };
}

/** The coupon campaigns of a grocery chain that ended while redemptions were recorded, to the households whose attributes are known (The Complete Journey). */
async function coupons(): Promise<Campaigns | null> {
  const [described, mailed, redeemed, households] = ["campaign_descriptions.csv", "campaigns.csv", "coupon_redemptions_to_aug.csv", "demographics.csv"].map((file) => dataFile("complete-journey", file));
  if (described === null || mailed === null || redeemed === null || households === null) return null;
  const type = new Map(table(described!).slice(1).filter(([, , start, end]) => start! >= "2016-12-28" && end! <= "2017-08-31").map(([id, kind]) => [id!, kind!.slice(-1)]));
  const took = new Set(table(redeemed!).slice(1).map(([household, , campaign]) => `${campaign}|${household}`));
  const people = new Map(table(households!).slice(1).map((row) => [row[0]!, row]));
  const lines = table(mailed!).slice(1).filter(([campaign, household]) => type.has(campaign!) && people.has(household!)).map(([campaign, household]) => {
    const [, age, income, home, marital, size] = people.get(household!)!;
    return [age, income, home, marital, size, campaign, took.has(`${campaign}|${household}`) ? "1" : "0"];
  });
  return {
    name: "coupon campaigns of a grocery chain", cellsBy: ["home"], after: EVERY,
    data: await datasetOf([["age", "income", "home", "marital", "size", "campaign", "redeemed"], ...lines], {
      attributes: { age: "categorical", income: "categorical", home: "categorical", marital: "categorical", size: "categorical" },
      stimulus: { column: "campaign", stimuli: Object.fromEntries([...type].map(([id, kind]) => [id, { id: `campaign-${id}`, channel: "post", tags: { type: kind } }])) },
      assignment: "unknown", funnel: ["redeemed"],
    }),
  };
}

/** The items that a shop showed at random (Open Bandit; one alone has no click to learn from), and Hillstrom's two e-mails. */
async function exampleSet(name: "open-bandit" | "hillstrom", what: string, cellsBy: readonly string[], after: readonly Others[]): Promise<Campaigns | null> {
  const data = await readRealData(name);
  return data === null ? null : { name: what, data, cellsBy, after };
}

/** Every set whose data are here. */
export async function campaignSets(): Promise<readonly Campaigns[]> {
  const sets = await Promise.all([offers(), coupons(), exampleSet("open-bandit", "items of a fashion shop, shown at random", ["position"], ["all others"]), exampleSet("hillstrom", "Hillstrom's two e-mails", ["mens", "womens"], ["all others"])]);
  return sets.filter((set) => set !== null);
}

const numeric = (transform: string): { readonly kind: string; readonly transform: string } => ({ kind: "continuous", transform });

const table = (path: string): string[][] => readFileSync(path, "utf8").trim().split("\n").map((line) => line.replaceAll('"', "").split(","));

async function datasetOf(lines: readonly (readonly (string | undefined)[])[], schema: object): Promise<Dataset> {
  const path = join(temporaryFolder(), "campaigns.csv");
  writeFileSync(path, `${lines.map((line) => line.join(",")).join("\n")}\n`);
  return readDataset(parseSchema(JSON.stringify({ name: "campaigns", ...schema })), path);
}

/** One campaign as predicted by a model of all others. */
export interface Unseen {
  readonly campaign: string;
  readonly exposures: number;
  readonly observed: number;
  readonly predicted: number;
  /** 90 % predictive interval of the observed share. */
  readonly low: number;
  readonly high: number;
  /** Where the responses of the whole campaign, and those of its cells, fell in their predictions: 0 to 1. */
  readonly pit: number;
  readonly cellPits: readonly number[];
  /** log probability of the campaign's responses. */
  readonly logScore: number;
}

/** Recipients of a campaign from which on it is one of the few that are learned from, or predicted after them. */
const FEW_ROWS_MIN = 60;
/** Campaigns of one set that are predicted from few others. */
const FEW_CAMPAIGNS_MAX = 9;

interface Fits {
  /** Indices of the stimuli that are left out in turn. */
  readonly left: readonly number[];
  /** What the fits are given for each of them. */
  readonly others: (left: number) => readonly (readonly number[])[];
}

/** Which campaigns are left out, and from which others each is predicted. What is no contact always belongs to them. */
export function othersOf({ data }: Campaigns, others: Others): Fits {
  const { stimuli } = data.schema.stimulus, counts = stimuli.map(() => 0);
  for (const index of data.stimulus) counts[index]!++;
  const contacts = stimuli.flatMap((stimulus, index) => (stimulus.contact && counts[index]! > 0 ? [index] : [])), silence = stimuli.flatMap((stimulus, index) => (stimulus.contact ? [] : [index]));
  if (others === "all others") return { left: contacts, others: (left) => [[...silence, ...contacts.filter((index) => index !== left)]] };
  const large = contacts.filter((index) => counts[index]! >= FEW_ROWS_MIN).slice(0, FEW_CAMPAIGNS_MAX);
  return {
    left: large,
    others: (left) => large.filter((index) => index !== left).map((index, at, rest) => [...silence, index, ...(others === "two others" ? [rest[(at + 1) % rest.length]!] : [])]),
  };
}

/** Each campaign of `left` predicted by fits on its `others`, at most `most` of them. */
export function leaveCampaignsOut({ data, cellsBy }: Campaigns, { personas, worlds, left: leftOut, others: othersFor, most }: Fits & { readonly personas: number; readonly worlds: number; readonly most: number }): readonly Unseen[] {
  const { stimuli } = data.schema.stimulus;
  const fits = leftOut.flatMap((left) => othersFor(left).map((others) => ({ left, others }))).slice(0, most);
  return fits.map(({ left, others }) => {
    const rowsOf = (keep: (row: number) => boolean): number[] => Array.from({ length: data.rows }, (_, row) => row).filter(keep);
    const part = (kept: readonly number[]): Dataset => {
      const rows = rowsOf((row) => kept.includes(data.stimulus[row]!)), selected = selectRows(data, rows), whole = { codes: new Int32Array(rows.length), dictionary: ["campaign"] };
      return { ...selected, kept: { ...selected.kept, whole }, stimulus: selected.stimulus.map((index) => kept.indexOf(index)), schema: { ...data.schema, stimulus: { ...data.schema.stimulus, stimuli: kept.map((index) => stimuli[index]!) } } };
    };
    const fit = part(others), held = part([left]), { id } = stimuli[left]!;
    const model = fitModel(fit.schema, fit, { seed: 1, personas, worlds });
    const cellsOf = (by: readonly string[]): readonly BacktestCell[] => backtest(model, held, { by, seed: 1 }).cells.filter((cell) => cell.step === data.schema.funnel[0]!.name);
    const random = RandomStream.of(1, `unseen ${id}`);
    const pitOf = ({ responses, exposures, alpha, beta }: BacktestCell): number => betaBinomialPit(responses, exposures, alpha, beta, random.uniform());
    const whole = cellsOf(["whole"])[0]!, { exposures, observed, predicted, low, high, responses, alpha, beta } = whole;
    return { campaign: id, exposures, observed, predicted, low, high, pit: pitOf(whole), cellPits: cellsOf(cellsBy).map(pitOf), logScore: betaBinomialLogMass(responses, exposures, alpha, beta) };
  });
}
