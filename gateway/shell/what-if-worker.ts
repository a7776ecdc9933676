/** The thread of what-if questions: it holds one model and answers one question after another. */
import { parentPort } from "node:worker_threads";
import { PopulaceError } from "@populace/domain";
import { chooseBackend } from "@populace/kernels/backends";
import { parseModel, whatIf } from "@populace/studies";
import type { Model } from "@populace/studies";
import type { FromWhatIf, ToWhatIf } from "./what-if-message.ts";

/** Questions of our own that warm up code and tables, and their agents: the first ones take ten times as long as later ones. */
const WARM = { questions: 4, agents: 131_072 } as const;

const port = parentPort!;
const send = (message: FromWhatIf): void => port.postMessage(message);
let model: Model | null = null;

let queue: Promise<void> = Promise.resolve();
port.on("message", (message: ToWhatIf) => {
  queue = queue.then(() => handle(message)).catch((error: unknown) => {
    const known = error instanceof PopulaceError;
    send({ kind: "failed", ticket: message.kind === "ask" ? message.ticket : null, code: known ? error.code : "INTERNAL", message: known ? error.message : String(error), details: known ? error.details : {} });
  });
});

async function handle(message: ToWhatIf): Promise<void> {
  const { backend } = await chooseBackend("auto", "expose");
  if (message.kind === "model") {
    model = parseModel(message.text);
    // A fitted model's stimulus has more keys than a new one may have.
    const [{ id, contact, channel, offer, tags }] = model.response.stimuli;
    await whatIf(model, backend.kernels.expose, { stimulus: id, agents: WARM.agents });
    for (let n = 1; n < WARM.questions; n += 1) {
      const stimulus = { id: `${id} warm-up ${n}`, contact, channel, offer, tags };
      await whatIf(model, backend.kernels.expose, { stimulus, agents: WARM.agents });
    }
    send({ kind: "ready", backend: backend.name });
    return;
  }
  if (model === null) throw new PopulaceError("UNAVAILABLE", "the model of the release could not be read, so nothing can be simulated from it", {});
  send({ kind: "answer", ticket: message.ticket, answer: await whatIf(model, backend.kernels.expose, message.question), backend: backend.name });
}
