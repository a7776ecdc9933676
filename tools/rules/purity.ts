// What a pure room must not do: look at a clock, draw its own randomness, touch the machine, or wait.
import { isPure } from "../rooms.ts";
import { type Finding, type Tree, codeOnly, lineOf, sources } from "./rule.ts";

const BANNED: readonly { readonly pattern: RegExp; readonly what: string; readonly instead: string }[] = [
  { pattern: /\bDate\s*\.\s*now\b|\bnew\s+Date\s*\(\s*\)|\bDate\s*\(\s*\)/g, what: "reads the clock", instead: "take the time as an argument" },
  { pattern: /\bperformance\s*\.\s*(now|timeOrigin)\b|\bprocess\s*\.\s*hrtime\b/g, what: "reads the clock", instead: "take the time as an argument" },
  { pattern: /\bMath\s*\.\s*random\b|\bcrypto\s*\.\s*(getRandomValues|randomUUID|randomBytes)\b/g, what: "draws its own randomness", instead: "take a named RandomStream" },
  { pattern: /\b(setTimeout|setInterval|setImmediate|queueMicrotask|fetch)\s*\(/g, what: "performs an effect", instead: "return the effect as data to the shell" },
  { pattern: /\b(process|globalThis|console)\s*\./g, what: "touches the machine", instead: "return a value and leave the effect to the shell" },
  { pattern: /\bawait\b|\basync\b|\bnew\s+Promise\b/g, what: "waits", instead: "return effects as data and let the shell wait" },
];

export function purity(tree: Tree): Finding {
  const files = sources(tree).filter(isPure);
  const violations: string[] = [];
  for (const path of files) {
    const text = tree.text(path);
    const code = codeOnly(text);
    for (const { pattern, what, instead } of BANNED) {
      for (const match of code.matchAll(pattern)) violations.push(`${path}:${lineOf(code, match.index)}: \`${match[0]}\` ${what} in a pure room; ${instead}`);
    }
    for (const match of text.matchAll(/(?:from|import)\s*\(?\s*"(node:[a-z_/]+)"/g)) {
      violations.push(`${path}:${lineOf(text, match.index)}: imports ${match[1]} in a pure room; move what needs it to a shell`);
    }
  }
  return { saw: `${files.length} pure sources, ${BANNED.length + 1} bans`, violations };
}
