import { stripTypeScriptTypes } from "node:module";
import { parse, type Node, type Program } from "acorn";
import { PopulaceError } from "@populace/domain";

/** Where a behavior imports `defineBehavior` from, for its types: the import itself is cut out. In pieces, or packing would turn it into a path. */
const API = ["@populace", "agent-runtime", "behavior"].join("/");
/** What packing makes of it in our own examples. */
const PACKED_API = /\/agent-runtime\/behavior\/define\.js$/;
/** Stands for the default export inside the script. */
const EXPORTED = "populace$default";
/** Most characters of a module: it travels inside the plan. */
const MODULE_CHARACTERS_MAX = 256 * 1024;

const KNOWN = new Set([
  "undefined", "NaN", "Infinity", "Object", "Array", "Number", "String", "Boolean", "BigInt", "Symbol", "Math", "JSON", "Map", "Set", "WeakMap", "WeakSet", "RegExp", "Iterator",
  "Error", "TypeError", "RangeError", "Reflect", "Proxy", "isNaN", "isFinite", "parseInt", "parseFloat", "arguments",
]);
const EXACT_MATH = new Set(["abs", "ceil", "clz32", "floor", "fround", "imul", "max", "min", "round", "sign", "sqrt", "trunc", "E", "LN10", "LN2", "LOG10E", "LOG2E", "PI", "SQRT1_2", "SQRT2"]);
const CLOCK = "there is no clock in a run; use world.tick";
const OUTSIDE = "a behavior sees nothing outside its run";
const TIMER = "nothing is awaited inside a tick; use world.tick, or a message, which comes at the next tick";
const REFUSED: Readonly<Record<string, string>> = {
  Date: CLOCK, performance: CLOCK, process: OUTSIDE, fetch: OUTSIDE, require: OUTSIDE, WebSocket: OUTSIDE, navigator: OUTSIDE, crypto: "draw with agent.chance or agent.integer", globalThis: OUTSIDE, console: "there is nobody to read it; count instead",
  setTimeout: TIMER, setInterval: TIMER, setImmediate: TIMER, queueMicrotask: TIMER, Promise: TIMER,
  eval: "code may not be made from texts", Function: "code may not be made from texts", WebAssembly: "code may not be made from bytes",
  Intl: "its tables differ between machines", WeakRef: "it shows the garbage collector", FinalizationRegistry: "it shows the garbage collector",
  ArrayBuffer: "keep numbers in state, or in arrays", SharedArrayBuffer: OUTSIDE, Atomics: OUTSIDE,
};

/** A syntax tree's node with its fields. */
type Tree = Node & Readonly<Record<string, unknown>>;

/** The module of a behavior's source without its types: what a plan carries. Lines and columns stay. BAD_BEHAVIOR when it has syntax that only a compiler understands. */
export function moduleOf(source: string): string {
  if (source.length > MODULE_CHARACTERS_MAX) throw new PopulaceError("BAD_BEHAVIOR", `the behavior has ${source.length} characters; at most ${MODULE_CHARACTERS_MAX} are allowed`, { characters: source.length });
  try {
    return stripped(source);
  } catch (cause) {
    throw new PopulaceError("BAD_BEHAVIOR", `the behavior is no TypeScript that runs as it stands: ${cause instanceof Error ? cause.message.split("\n").join(" ") : String(cause)}`, {}, cause);
  }
}

/**
 * The module as the script that a sealed realm evaluates: a function that returns the default export. BAD_BEHAVIOR, with line and
 * column, at anything that could make two computations of one tick differ, or that reaches for the world outside. What hides from
 * reading (a name put together from pieces) meets the seal of the realm, and what passes both the second computation.
 */
export function scriptOf(module: string): string {
  const program = parsed(module, "module");
  const cuts: { readonly start: number; readonly end: number; readonly text: string }[] = [];
  let exported = 0;
  for (const node of program.body as unknown as readonly Tree[]) {
    if (node.type === "ImportDeclaration") {
      const from = (node["source"] as Tree)["value"] as string, names = (node["specifiers"] as readonly Tree[]);
      if ((from !== API && !PACKED_API.test(from)) || !names.every((each) => each.type === "ImportSpecifier" && (each["imported"] as Tree)["name"] === "defineBehavior" && (each["local"] as Tree)["name"] === "defineBehavior")) {
        refuse(module, node.start, `it imports from "${from}"`, `a behavior is one file; expected nothing but import { defineBehavior } from "${API}"`);
      }
      cuts.push({ start: node.start, end: node.end, text: blank(module.slice(node.start, node.end)) });
    } else if (node.type === "ExportDefaultDeclaration") {
      exported++;
      cuts.push({ start: node.start, end: (node["declaration"] as Tree).start, text: `${EXPORTED} = ` });
    } else if (node.type.startsWith("Export")) {
      refuse(module, node.start, "it exports a name", "expected one default export and nothing else");
    }
  }
  if (exported !== 1) throw new PopulaceError("BAD_BEHAVIOR", "the behavior has no default export; expected: export default defineBehavior({ ... })", {});
  const prefix = `(function () { "use strict"; let ${EXPORTED}; const defineBehavior = (behavior) => behavior; `;
  const script = `${prefix}${replaced(module, cuts)}\nreturn ${EXPORTED}; })`;
  // Read as what will run, not as what was sent: a script knows comments that a module does not.
  checkScript(script, prefix.length);
  return script;
}

/** Source of this repository as statements of a script: without types, imports and the word export. */
export function statementsOf(source: string): string {
  const module = stripped(source);
  const cuts = (parsed(module, "module").body as unknown as readonly Tree[]).flatMap((node) => {
    if (node.type === "ImportDeclaration") return [{ start: node.start, end: node.end, text: "" }];
    return node.type === "ExportNamedDeclaration" ? [{ start: node.start, end: (node["declaration"] as Tree).start, text: "" }] : [];
  });
  return replaced(module, cuts);
}

function checkScript(script: string, offset: number): void {
  const program = parsed(script, "script", offset);
  const bound = new Set<string>(), used: Tree[] = [];
  const refuseAt = (node: Node, what: string, why: string): never => refuse(script, node.start, what, why, offset);
  const bind = (pattern: Tree | null): void => {
    if (pattern === null) return;
    switch (pattern.type) {
      case "Identifier": bound.add(pattern["name"] as string); return;
      case "ObjectPattern": for (const property of pattern["properties"] as readonly Tree[]) bind((property["value"] ?? property["argument"]) as Tree); return;
      case "ArrayPattern": for (const element of pattern["elements"] as readonly (Tree | null)[]) bind(element); return;
      case "AssignmentPattern": bind(pattern["left"] as Tree); return;
      case "RestElement": bind(pattern["argument"] as Tree); return;
      default:
    }
  };
  const visit = (node: Tree, parent: Tree | null, field: string): void => {
    switch (node.type) {
      case "Identifier": {
        const isName = (parent!.type === "MemberExpression" && field === "property" && parent!["computed"] !== true)
          || ((parent!.type === "Property" || parent!.type === "MethodDefinition" || parent!.type === "PropertyDefinition") && field === "key" && parent!["computed"] !== true && parent!["shorthand"] !== true)
          || field === "label";
        if (!isName) used.push(node);
        return;
      }
      case "VariableDeclarator": bind(node["id"] as Tree); break;
      case "FunctionDeclaration": case "FunctionExpression": case "ArrowFunctionExpression":
        if (node["async"] === true) refuseAt(node, "it has an async function", TIMER);
        if (node["id"]) bind(node["id"] as Tree);
        for (const parameter of node["params"] as readonly Tree[]) bind(parameter);
        break;
      case "ClassDeclaration": case "ClassExpression": if (node["id"]) bind(node["id"] as Tree); break;
      case "ImportExpression": refuseAt(node, "it imports while it runs", "a behavior is one file"); break;
      case "AwaitExpression": refuseAt(node, "it awaits", TIMER); break;
      case "TryStatement": refuseAt(node, "it has a try statement", "where a stack overflows differs between machines and moments, so nobody may go on after it; test before you act"); break;
      case "DebuggerStatement": refuseAt(node, "it has a debugger statement", OUTSIDE); break;
      case "BinaryExpression": case "AssignmentExpression":
        if (node["operator"] === "**" || node["operator"] === "**=") refuseAt(node, `it uses ${node["operator"] as string}`, "powers may round differently on another processor; multiply");
        break;
      case "MemberExpression": {
        const object = node["object"] as Tree, property = node["property"] as Tree;
        if (object.type === "Identifier" && object["name"] === "Math" && node["computed"] !== true && !EXACT_MATH.has(property["name"] as string)) {
          refuseAt(node, `it uses Math.${property["name"] as string}`, property["name"] === "random" ? "chance comes from the run's seed: draw with agent.chance or agent.integer" : "it may round differently on another processor; use tables or integers");
        }
        break;
      }
      default:
    }
    for (const [name, child] of Object.entries(node)) {
      for (const each of Array.isArray(child) ? (child as unknown[]) : [child]) {
        if (typeof each === "object" && each !== null && "type" in each) visit(each as Tree, node, name);
      }
    }
  };
  visit(program as unknown as Tree, null, "");
  for (const node of used) {
    const name = node["name"] as string;
    if (bound.has(name)) continue;
    if (Object.hasOwn(REFUSED, name)) refuseAt(node, `it uses ${name}`, REFUSED[name]);
    if (!KNOWN.has(name)) refuseAt(node, `it uses ${name}`, "nothing of that name exists here");
  }
}

function parsed(text: string, sourceType: "module" | "script", offset = 0): Program {
  try {
    return parse(text, { ecmaVersion: 2024, sourceType });
  } catch (cause) {
    const { pos = 0, message } = cause as Error & { pos?: number };
    return refuse(text, pos, message.replace(/ \(\d+:\d+\)$/, ""), "expected a module that Node can read", offset);
  }
}

function refuse(text: string, at: number, what: string, why: string, offset = 0): never {
  const before = text.slice(0, at).split("\n"), line = before.length, column = before[line - 1].length + 1 - (line === 1 ? offset : 0);
  throw new PopulaceError("BAD_BEHAVIOR", `the behavior, line ${line}, column ${column}: ${what}; ${why}`, { line, column });
}

/** Node's own type stripping, whose notice that it is experimental would appear in every command. */
function stripped(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}

const blank = (text: string): string => text.replaceAll(/[^\n]/g, " ");

function replaced(text: string, cuts: readonly { readonly start: number; readonly end: number; readonly text: string }[]): string {
  let result = "", at = 0;
  for (const cut of cuts) {
    result += text.slice(at, cut.start) + cut.text;
    at = cut.end;
  }
  return result + text.slice(at);
}
