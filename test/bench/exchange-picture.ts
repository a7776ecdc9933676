// Draws exchange-rate.svg beside the README: what an honest and a biased simulator teach, campaign by campaign.
//   node test/bench/exchange-picture.ts
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { HUES, chart } from "../../cli/report/chart.ts";
import { standaloneSvg } from "../../cli/report/page.ts";
import { ROOT } from "../helpers/data.ts";
import { exchangeCourses } from "./exchange.bench.ts";

const values = exchangeCourses(40);
const color = { field: "simulator", type: "nominal", scale: { domain: ["honest", "foretells twice the truth"], range: [HUES[0], HUES[1]] }, legend: { title: "simulator", orient: "top" } } as const;
const x = { field: "campaign", type: "quantitative", axis: { title: "campaigns whose outcomes have landed", tickMinStep: 1, format: "d" } } as const;
const svg = await chart("exchange-course", "Exchange rate learned from an honest and from a biased simulator", {
  width: 560, height: 280, data: { values: [...values] },
  layer: [
    { mark: { type: "area", opacity: 0.2 }, encoding: { x, y: { field: "low", type: "quantitative", scale: { domain: [0, 1] }, axis: { title: "exchange rate a0, 90 % interval", tickCount: 5 } }, y2: { field: "high" }, color } },
    { mark: { type: "line", strokeWidth: 2.2 }, encoding: { x, y: { field: "a0", type: "quantitative" }, color } },
  ],
} as never);
writeFileSync(join(ROOT, "exchange-rate.svg"), standaloneSvg(svg));
