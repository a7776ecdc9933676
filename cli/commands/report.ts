import { dirname, join } from "node:path";
import { PopulaceError } from "@populace/domain";
import type { CommandDefinition } from "../command.ts";
import { paint } from "../output.ts";

interface ReportOptions {
  readonly run?: string;
  readonly model?: string;
  readonly out?: string;
}

export const reportCommand: CommandDefinition<ReportOptions> = {
  name: "report",
  summary: "a self-contained HTML page of a run or of a model",
  examples: ["populace report --run .populace/runs/RUNID", "populace report --model model.json --out model.html"],
  configure: (command) => command
    .option("--run <folder>", "results of a run")
    .option("--model <file>", "a model: its personas and current rates")
    .option("--out <file>", "where to write the page (default: report.html beside the input)"),
  async run(_context, options) {
    if ((options.run === undefined) === (options.model === undefined)) throw new PopulaceError("BAD_USAGE", "report needs either --run FOLDER or --model FILE");
    const { writeFileAtomic } = await import("@populace/io");
    const { reportPage } = await import("../report/page.ts");
    const { readReport } = await import("../report/write.ts");
    let data;
    if (options.run !== undefined) {
      data = readReport(options.run);
    } else {
      const { readModel } = await import("@populace/studies");
      const { modelReport } = await import("../report/from-model.ts");
      data = await modelReport(readModel(options.model!), options.model!);
    }
    const out = options.out ?? join(options.run ?? dirname(options.model!), "report.html");
    const page = await reportPage(data);
    writeFileAtomic(out, page);
    const figures = page.match(/<figure/g)?.length ?? 0;
    return { json: { report: out, figures, rates: data.rates.length }, lines: [`report written to ${paint("bold", out)} (${figures} figures, ${data.rates.length} rates)`] };
  },
};
