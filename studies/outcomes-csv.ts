import type { Consent } from "@populace/domain";
import type { Schema } from "./schema.ts";

/** An outcome as the gateway stored it. */
export interface ObservedOutcome {
  readonly id: string;
  readonly recipient: string;
  readonly attributes: Readonly<Record<string, string | number | boolean | null>>;
  /** Stimulus id. */
  readonly stimulus: string;
  /** Furthest funnel step reached, null = none. */
  readonly reached: string | null;
  readonly valueMinor?: number;
  /** RFC 3339. */
  readonly at: string;
  readonly consent?: Consent | readonly Consent[] | false | null;
}

/**
 * Returns outcomes as the CSV a schema reads, header first, so that `learn` takes them like any other file. Where the schema asks
 * for consent, the one for its purpose goes along and is judged again when the file is read; without one its cells are empty,
 * which is no consent.
 */
export function outcomesCsv(schema: Schema, outcomes: readonly ObservedOutcome[]): string {
  const columns = new Map<string, (outcome: ObservedOutcome, row: number) => string>();
  const add = (column: string | null, cell: (outcome: ObservedOutcome, row: number) => string): void => {
    if (column !== null && !columns.has(column)) columns.set(column, cell);
  };
  add(schema.recipient, (outcome) => outcome.recipient);
  for (const attribute of schema.attributes) {
    add(attribute.column, ({ attributes }) => {
      const value = attributes[attribute.name];
      return value === null || value === undefined ? "" : typeof value === "boolean" && attribute.levels.length === 2 ? attribute.levels[value ? 1 : 0] : String(value);
    });
  }
  const valueOfStimulus = new Map<string, string>(schema.stimulus.stimuli.map((stimulus) => [stimulus.id, stimulus.value]));
  add(schema.stimulus.column, (outcome) => valueOfStimulus.get(outcome.stimulus) ?? outcome.stimulus);
  schema.funnel.forEach((step, index) => add(step.column, ({ reached }) => (schema.funnel.findIndex(({ name }) => name === reached) >= index ? step.positive : step.positive === "0" ? "1" : "0")));
  const { value, time, consent } = schema;
  if (value !== null) add(value.column, ({ valueMinor }) => (valueMinor === undefined ? "" : String(valueMinor / value.minorUnits)));
  if (time !== null) add(time.column, ({ at }, row) => (time.format === "index" ? String(row) : time.format === "date" ? at.slice(0, 10) : at));
  if (consent !== null) {
    const own = (outcome: ObservedOutcome): Consent | undefined => [outcome.consent ?? []].flat().find((one): one is Consent => typeof one === "object" && one.purpose === consent.purpose);
    add(consent.purposeColumn, (outcome) => own(outcome)?.purpose ?? "");
    // An end that was explicitly left open is written as the last day there is.
    add(consent.untilColumn, (outcome) => { const one = own(outcome); return one === undefined ? "" : one.until === null ? "9999-12-31" : String(one.until); });
  }
  const line = (cells: readonly string[]): string => `${cells.map((cell) => quoted(cell, schema.csv.delimiter)).join(schema.csv.delimiter)}\n`;
  return line([...columns.keys()]) + outcomes.map((outcome, row) => line([...columns.values()].map((cell) => cell(outcome, row)))).join("");
}

const quoted = (cell: string, delimiter: string): string => (cell.includes(delimiter) || /["\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
