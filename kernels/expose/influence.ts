import type { ExposePlan } from "./plan.ts";
import type { Climate } from "./port.ts";

const PER_AGENT_MAX = 2 ** 20;

/**
 * The climate of tick t + 1 from that of tick t and what all agents shared and complained about at t. `sections`: personas x
 * scenarios x (shares, complaints), summed over blocks. Integers, exact (SPEC.md, "Influence"); a plan without influence
 * returns `climate` itself.
 */
export function influenceStep(plan: ExposePlan, climate: Climate, sections: ArrayLike<number>): Climate {
  const influence = plan.influence;
  if (influence === null) return climate;
  const personaCount = plan.personas.length, scenarioCount = plan.scenarios.length;
  const warmth = new Int32Array(climate.warmth.length), awareThreshold = new Uint32Array(climate.awareThreshold.length);
  for (let scenario = 0; scenario < scenarioCount; scenario++) {
    for (let receiver = 0; receiver < personaCount; receiver++) {
      // Counts reach 2^32 and weights 2^31: only BigInt holds their products; rows are few.
      let received = 0n;
      for (let entry = influence.rowStart[receiver]; entry < influence.rowStart[receiver + 1]; entry++) {
        const at = (influence.source[entry] * scenarioCount + scenario) * 2;
        received += BigInt(influence.weight[entry]) * BigInt(sections[at] - sections[at + 1]);
      }
      const perAgent = clamp(Number(floorDivide(received, BigInt(plan.personas[receiver].agents))), PER_AGENT_MAX);
      const at = scenario * personaCount + receiver, old = climate.warmth[at];
      warmth[at] = clamp(
        old - Math.floor((old * influence.warmthDecay) / 65_536) + Math.floor((perAgent * influence.warmthGain) / 65_536),
        influence.warmthMax,
      );
      awareThreshold[at] = Math.min(influence.awareMax, Math.max(0, perAgent) * influence.awareGain);
    }
  }
  return { warmth, awareThreshold };
}

function clamp(value: number, limit: number): number {
  return value < -limit ? -limit : value > limit ? limit : value;
}

function floorDivide(a: bigint, b: bigint): bigint {
  if (b === 0n) return 0n;
  const quotient = a / b;
  return a % b !== 0n && a < 0n ? quotient - 1n : quotient;
}
