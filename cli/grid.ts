import { PopulaceError } from "@populace/domain";
import { parse } from "yaml";

/** One value of a study that a sweep varies: where it stands, and what it takes. */
export interface Variation {
  /** Keys from the root of the study with dots between them; a number picks an entry of a list. */
  readonly path: string;
  readonly values: readonly (string | number | boolean)[];
}

/** "pressure.perContact=0,1,2" as a variation; BAD_USAGE for anything else. */
export function variation(text: string): Variation {
  const match = /^([A-Za-z]\w*(?:\.\w+)*)=(.+)$/s.exec(text);
  const values = (match?.[2] ?? "").split(",").map((value) => parse(value.trim()) as unknown);
  if (match === null || values.some((value) => typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean")) {
    throw new PopulaceError("BAD_USAGE", `--vary "${text.slice(0, 120)}": expected KEY=VALUE,VALUE,... such as agents=1e5,1e6 or pressure.perContact=0,1,2`, { vary: text });
  }
  return { path: match[1], values: values as Variation["values"] };
}

/** Every combination of the values, the last variation fastest. */
export function combinations(variations: readonly Variation[]): readonly (readonly Variation["values"][number][])[] {
  return variations.reduce<readonly (readonly Variation["values"][number][])[]>((before, { values }) => before.flatMap((combination) => values.map((value) => [...combination, value])), [[]]);
}

/** A copy of the document with the value at the path; maps that are missing are made. BAD_STUDY where a path leads through something else. */
export function withValue(document: unknown, path: string, value: Variation["values"][number]): object {
  const root = structuredClone(document ?? {}) as Record<string, unknown>;
  const keys = path.split(".");
  let at: Record<string, unknown> = root;
  keys.forEach((key, index) => {
    const isLast = index === keys.length - 1;
    if (Array.isArray(at) && !(Number(key) < at.length)) throw new PopulaceError("BAD_STUDY", `--vary ${path}: the list has ${at.length} entries, numbered from 0; "${key}" is none of them`, { path });
    if (isLast) at[key] = value;
    else {
      at[key] ??= {};
      if (typeof at[key] !== "object") throw new PopulaceError("BAD_STUDY", `--vary ${path}: "${keys.slice(0, index + 1).join(".")}" is ${JSON.stringify(at[key])} in the study; a path leads through maps and lists`, { path });
      at = at[key] as Record<string, unknown>;
    }
  });
  return root;
}
