/** The thread of what-if questions: it holds one model and answers one question after another. */
import { parentPort } from "node:worker_threads";
import { PopulaceError } from "@populace/domain";
import { chooseBackend } from "@populace/kernels/backends";
import { openWhatIf, parseModel } from "@populace/studies";
import type { WhatIfAnswer, WhatIfQuestion } from "@populace/studies";
import type { FromWhatIf, ToWhatIf } from "./what-if-message.ts";

/**
 * Questions of our own that warm up code and tables, and their agents: the first ones take ten times as long as later ones. The last two are about the usual number,
 * whose codes are kept from then on.
 */
const WARM = { questions: 5, agents: 131_072 } as const;

const port = parentPort!;
const send = (message: FromWhatIf): void => port.postMessage(message);
let answer: ((question: WhatIfQuestion) => Promise<WhatIfAnswer>) | null = null;

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
    const model = parseModel(message.text);
    answer = openWhatIf(model, backend.kernels.expose);
    // A fitted model's stimulus has more keys than a new one may have.
    const [{ id, contact, channel, offer, tags }] = model.response.stimuli;
    await answer({ stimulus: id, agents: WARM.agents });
    for (let n = 1; n < WARM.questions; n += 1) {
      const stimulus = { id: `${id} warm-up ${n}`, contact, channel, offer, tags };
      await answer(n < WARM.questions - 2 ? { stimulus, agents: WARM.agents } : { stimulus });
    }
    send({ kind: "ready", backend: backend.name });
    return;
  }
  if (answer === null) throw new PopulaceError("UNAVAILABLE", "the model of the release could not be read, so nothing can be simulated from it", {});
  send({ kind: "answer", ticket: message.ticket, answer: await answer(message.question), backend: backend.name });
}
