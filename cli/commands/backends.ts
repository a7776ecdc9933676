import { BACKEND_NAMES } from "@populace/kernels/names";
import type { CommandDefinition } from "../command.ts";
import { compact, paint, table } from "../output.ts";

export const backendsCommand: CommandDefinition<Record<string, never>> = {
  name: "backends",
  summary: "what kernels can run on here, how fast, and which of it is taken",
  examples: ["populace backends"],
  configure: (command) => command,
  async run() {
    const { backendStatus, chooseBackend } = await import("@populace/kernels/backends");
    const { measureExposures } = await import("@populace/agent-runtime");
    const chosen = await chooseBackend("auto", "expose");
    const found = [];
    for (const name of BACKEND_NAMES) {
      const { backend, reason } = await backendStatus(name);
      const kernels = backend === null ? [] : Object.keys(backend.kernels);
      found.push({
        name, device: backend?.device ?? null, isFast: backend?.isFast ?? false, kernels, reason,
        exposuresPerSecond: backend?.kernels.expose === undefined ? null : await measureExposures(name),
      });
    }
    return {
      json: { backends: found, chosen: chosen.backend.name, reason: chosen.reason },
      lines: [
        ...table(
          [{ title: "backend" }, { title: "runs on" }, { title: "exposures/s a thread", align: "right" }, { title: "kernels" }],
          found.map(({ name, device, isFast, kernels, reason, exposuresPerSecond }) => [
            name === chosen.backend.name ? paint("bold", name) : name, device === null ? paint("yellow", `not here: ${reason}`) : `${device}${isFast ? "" : ", emulated"}`,
            exposuresPerSecond === null ? "-" : compact(exposuresPerSecond), kernels.join(", "),
          ]),
        ),
        "",
        `runs take ${paint("bold", chosen.backend.name)}: ${chosen.reason}; --backend takes another, with the same bits`,
      ],
    };
  },
};
