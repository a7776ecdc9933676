// Schelling's model of segregation (1971) on a torus. The agents are the places: each is empty or holds a household of one of two
// kinds. Whoever has too few neighbors of the own kind asks a place drawn by chance; an empty place takes the first who asks.
// A round is four ticks: tell the neighbors, ask for a place, answer, move.
import { defineBehavior } from "@populace/agent-runtime/behavior";

export default defineBehavior({
  name: "schelling",
  state: { kind: "u8", alike: "u8", others: "u8" },
  messages: ["neighbor", "ask", "yes"],
  counters: ["households", "unhappy", "moved", "alike", "neighbors"],
  parameters: { width: 100, filled: 0.9, wanted: 0.4 },

  onStart(agent, world) {
    if (agent.chance("filled", world.parameters.filled)) agent.state.kind = 1 + agent.integer("kind", 2);
  },
  onMessage(agent, message) {
    const { state } = agent;
    if (message.name === "neighbor" && state.kind !== 0) state[message.value === state.kind ? "alike" : "others"] += 1;
    if (message.name === "ask" && state.kind === 0) {
      state.kind = message.value;
      agent.send("yes", message.from);
    }
    if (message.name === "yes") {
      state.kind = 0;
      agent.count("moved");
    }
  },
  onTick(agent, world) {
    const { state } = agent, { width, wanted } = world.parameters, height = world.agents / width;
    if (state.kind === 0 || world.tick % 4 > 1) return;
    if (world.tick % 4 === 0) {
      const x = agent.id % width, y = Math.floor(agent.id / width);
      for (const dy of [height - 1, 0, 1]) {
        for (const dx of [width - 1, 0, 1]) {
          if (dx !== 0 || dy !== 0) agent.send("neighbor", ((y + dy) % height) * width + ((x + dx) % width), state.kind);
        }
      }
      return;
    }
    agent.count("households");
    agent.count("alike", state.alike);
    agent.count("neighbors", state.alike + state.others);
    const isUnhappy = state.alike < wanted * (state.alike + state.others);
    state.alike = 0;
    state.others = 0;
    if (!isUnhappy) return;
    agent.count("unhappy");
    agent.send("ask", agent.integer("place", world.agents), state.kind);
  },
});
