// Word of mouth on a small world: a ring in which everybody knows the next four, and every tie leads somewhere else with a given
// chance (Watts and Strogatz, 1998). Whoever hears of it tells some friends for a few ticks; whether they believe it is in them.
import { defineBehavior } from "@populace/agent-runtime/behavior";

const TIES = ["tie1", "tie2", "tie3", "tie4"] as const;

export default defineBehavior({
  name: "word-of-mouth",
  personas: {
    enthusiast: { share: 0.2, traits: { belief: [30, 60] } },
    skeptic: { share: 0.8 },
  },
  traits: { belief: [5, 25] },
  state: { tie1: "i32", tie2: "i32", tie3: "i32", tie4: "i32", knows: "u8", age: "u8" },
  messages: ["rumor"],
  counters: ["new", "knowing"],
  parameters: { rewired: 0.1, telling: 0.5, ticks: 5 },
  stimuli: { advertisement: { at: [0], share: 0.002 } },

  onStart(agent, world) {
    TIES.forEach((tie, index) => {
      const isRewired = agent.chance("rewire", world.parameters.rewired);
      agent.state[tie] = isRewired ? agent.integer("tie", world.agents) : (agent.id + index + 1) % world.agents;
    });
  },
  onStimulus(agent) {
    agent.state.knows = 1;
    agent.count("new");
  },
  onMessage(agent) {
    if (agent.state.knows === 1 || !agent.chance("believe", agent.traits.belief / 100)) return;
    agent.state.knows = 1;
    agent.count("new");
  },
  onTick(agent, world) {
    if (agent.state.knows === 0) return;
    agent.count("knowing");
    if (agent.state.age >= world.parameters.ticks) return;
    agent.state.age += 1;
    for (const tie of TIES) if (agent.chance("tell", world.parameters.telling)) agent.send("rumor", agent.state[tie]);
  },
});
