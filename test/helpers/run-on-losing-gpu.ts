// Runs plans on a GPU that fails under them (gpu-losing-worker.ts) and prints what became of them, a line of JSON each.
//   node run-on-losing-gpu.ts FOLDER
import { registerHooks } from "node:module";
import { join } from "node:path";
import { backendStatus } from "@populace/kernels/backends";
import { HEARTBEAT, heartbeatSubject } from "@populace/protocol";
import { LOST_RUNS } from "./lost-runs.ts";

const worker = new URL("./gpu-losing-worker.ts", import.meta.url).href;
registerHooks({ resolve: (name, context, next) => (name === "@populace/agent-runtime/worker" ? { url: worker, shortCircuit: true } : next(name, context)) });
const { embeddedRunner } = await import("../../cli/embedded.ts");
const { LOCAL_TENANT } = await import("../../cli/names.ts");
// Else "auto" never takes an emulated GPU.
Object.assign((await backendStatus("webgpu")).backend!, { isFast: true });

for (const [index, { plan, execution, wanted }] of LOST_RUNS.entries()) {
  const runner = embeddedRunner({ storeDir: join(process.argv[2], `store-${index}`), backend: wanted });
  const reasons = new Set<string>();
  (await runner.ports()).bus.subscribe(heartbeatSubject(LOCAL_TENANT, "*"), (_, bytes) => { reasons.add(HEARTBEAT.decode(bytes).backendReason); });
  const ended = await runner(plan, execution).then(({ roots, backend }) => ({ roots, backend }), (error: unknown) => ({ error: String(error) }));
  await runner.close();
  console.log(JSON.stringify({ ...ended, reasons: [...reasons] }));
}
