import { describe } from "vitest";
import { NATS, NATS_CURRENT, type NatsProgram } from "./server.fixture.ts";

/** A group of tests for each server program; skipped, with the reason in the name, where there is none. */
export function describeOnNats(name: string, tests: (program: NatsProgram) => void, programs: readonly NatsProgram[] = [NATS, NATS_CURRENT]): void {
  for (const each of programs) describe.skipIf(each.path === "")(`${name} (${each.path === "" ? `skipped: no ${each.name}: ${each.why}` : each.name})`, () => tests(each));
}
