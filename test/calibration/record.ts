import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { CalibrationFamily } from "@populace/studies";
import { ROOT } from "../helpers/data.ts";

/** Where the record lies, and what writes it. */
export const RECORD = join(ROOT, "studies", "calibration-record.ts");

/** Sources that a posterior's bits depend on. */
const SOURCES: readonly string[] = [
  "inference/beta-binomial", "inference/calibration", "inference/conjugate", "inference/distribution", "inference/evidence", "inference/exchange-rate", "inference/linear-algebra", "inference/log-normal-value",
  "inference/logistic", "inference/logistic-rows", "inference/pareto", "inference/scale-exploration", "inference/special-functions", "inference/sufficient-statistics",
];

/** SHA-256 over the model code and over the families themselves, comments and layout included. */
export function modelCode(): string {
  const random = readdirSync(join(ROOT, "domain", "random")).filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts")).toSorted().map((name) => join("domain", "random", name));
  const hash = createHash("sha256");
  for (const file of [...SOURCES.map((name) => join("domain", `${name}.ts`)), ...random, join("test", "calibration", "families.ts")]) hash.update(`${file}\n${readFileSync(join(ROOT, file), "utf8")}\n`);
  return hash.digest("hex");
}

/** The record as the source that `studies` loads. */
export const recordSource = (code: string, families: readonly CalibrationFamily[]): string => `// Written by \`npm run calibrate\`; a test holds \`code\` to the sources it names (test/calibration/record.ts).
import type { CalibrationFamily } from "./calibration.ts";

/** Every posterior of the product against known truth, as the model code of this hash left it. */
export const CALIBRATION: { readonly code: string; readonly families: readonly CalibrationFamily[] } = ${JSON.stringify({ code, families }, null, 2).replace(/\[\s+([\d,\s]+?)\s+\]/g, (_, numbers: string) => `[${numbers.split(/\s+/).join(" ")}]`)};
`;
