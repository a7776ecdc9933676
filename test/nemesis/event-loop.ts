import type { Member } from "./cluster.ts";

/** Blocks the event loop of a process for so long, while its threads go on: through the inspector, so that the program needs no back door. */
export async function blockEventLoop(member: Member, ms: number): Promise<void> {
  process.kill(member.pid, "SIGUSR1");
  const [, url] = await member.says(/Debugger listening on (ws:\S+)/);
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
  const answered = new Promise((resolve) => { socket.addEventListener("message", resolve, { once: true }); });
  socket.send(JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression: `{ const until = performance.now() + ${ms}; while (performance.now() < until); }` } }));
  await answered;
  socket.close();
}
