import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PopulaceError } from "@populace/domain";
import { writeFileAtomic } from "@populace/io";
import { type ModelFigures, reportPage } from "./page.ts";
import type { ReportData } from "./report.ts";

/** Writes `report.html` and the data behind it (`report.json`) into the folder, each whole or not at all; returns the path of the page. */
export async function writeReport(folder: string, data: ReportData, model?: ModelFigures): Promise<string> {
  const path = join(folder, "report.html");
  writeFileAtomic(join(folder, "report.json"), `${JSON.stringify(data)}\n`);
  writeFileAtomic(path, await reportPage(data, model));
  return path;
}

/** The data of a report written before; FILE_MISSING where there is none, BAD_DATA where it is none of ours. */
export function readReport(folder: string): ReportData {
  const path = join(folder, "report.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PopulaceError("FILE_MISSING", `${folder}: holds no report.json; name the folder that simulate or demo wrote its results to`, { file: path }, cause);
  }
  try {
    // Reports written before there were surfaces have none.
    const data = { surface: null, ...JSON.parse(text) as Omit<ReportData, "surface"> };
    if (typeof data.title === "string" && Array.isArray(data.rates)) return data;
  } catch {
    // The refusal below says it.
  }
  throw new PopulaceError("BAD_DATA", `${path}: is no report of populace; expected the file that simulate or demo wrote`, { file: path });
}
