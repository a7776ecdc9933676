// `npm run calibrate`: every posterior of the product against known truth, written to studies/calibration-record.ts. Nothing is done while
// the model code is the one of the record.
//   npm run calibrate               when the model code has changed
//   npm run calibrate -- --fresh    in any case
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { CALIBRATION } from "@populace/studies";
import { families } from "./families.ts";
import { RECORD, modelCode, recordSource } from "./record.ts";

/** Truths a family is held against. */
const SIMULATIONS = 500;

const { values } = parseArgs({ options: { fresh: { type: "boolean" } } });
const code = modelCode();
if (CALIBRATION.code === code && values.fresh !== true) {
  console.log(`the model code is that of the record (${code.slice(0, 12)}); --fresh runs it all the same`);
} else {
  const found = families(SIMULATIONS);
  for (const family of found) console.log(`${family.passed ? "ok  " : "FAIL"} ${family.name}: ${family.figure} (bound ${family.bound}); ${family.what}`);
  writeFileSync(RECORD, recordSource(code, found));
  process.exitCode = found.every((family) => family.passed) ? 0 : 1;
}
