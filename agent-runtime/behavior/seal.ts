/**
 * Closes the realm in which a behavior runs: what differs between machines, moments or processes is gone, and what remains cannot be
 * changed. Evaluated inside the realm, after the engine has taken the typed arrays it needs and before the behavior is loaded.
 * Removed rather than trusted: WeakRef and FinalizationRegistry show the garbage collector, Intl and localeCompare the machine's
 * tables, RegExp.$1 what ran before; Math.exp and its kin may round differently on another processor.
 */
export function sealRealm(): void {
  const realm = globalThis as unknown as Record<string, unknown>;
  const refused: Readonly<Record<string, string>> = {
    Date: "there is no clock; use world.tick",
    Intl: "its tables differ between machines", WeakRef: "it shows the garbage collector", FinalizationRegistry: "it shows the garbage collector",
    Promise: "nothing is awaited inside a tick", eval: "code may not be made from texts", Function: "code may not be made from texts",
    console: "there is nobody to read it; count instead", WebAssembly: "code may not be made from bytes",
  };
  const removed = [
    "SharedArrayBuffer", "Atomics", "ArrayBuffer", "DataView", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array", "Uint16Array", "Int32Array", "Uint32Array",
    "Float16Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array", "AsyncDisposableStack", "DisposableStack", "SuppressedError", "escape", "unescape",
  ];
  for (const name of removed) delete realm[name];
  for (const [name, why] of Object.entries(refused)) {
    Object.defineProperty(realm, name, { configurable: false, enumerable: false, get: () => { throw new Error(`${name} is not available: ${why}`); } });
  }

  const exact = ["abs", "ceil", "clz32", "floor", "fround", "imul", "max", "min", "round", "sign", "sqrt", "trunc"];
  for (const name of Object.getOwnPropertyNames(Math)) {
    if (typeof (Math as unknown as Record<string, unknown>)[name] !== "function" || exact.includes(name)) continue;
    const why = name === "random" ? "draw with agent.chance or agent.integer" : "it may round differently on another processor; use tables or integers";
    Object.defineProperty(Math, name, { value: () => { throw new Error(`Math.${name} is not available: ${why}`); } });
  }
  const drop = (from: object, names: readonly string[]): void => { for (const name of names) delete (from as Record<string, unknown>)[name]; };
  drop(RegExp, Object.getOwnPropertyNames(RegExp).filter((name) => !["prototype", "length", "name", "escape"].includes(name)));
  drop(RegExp.prototype, ["compile"]);
  drop(String.prototype, ["localeCompare", "toLocaleLowerCase", "toLocaleUpperCase", "normalize"]);
  for (const prototype of [Object.prototype, Array.prototype, Number.prototype, BigInt.prototype]) drop(prototype, ["toLocaleString"]);

  // Where the behavior was, not where this machine keeps its files.
  const errors = Error as unknown as Record<string, unknown>;
  delete errors["captureStackTrace"];
  errors["stackTraceLimit"] = 20;
  errors["prepareStackTrace"] = (_: unknown, sites: readonly { getFileName(): string | null; getLineNumber(): number | null; getColumnNumber(): number | null }[]) =>
    sites.filter((site) => site.getFileName() === "behavior").map((site) => `${site.getLineNumber()}:${site.getColumnNumber()}`).join(" ");

  const seen = new Set<unknown>();
  const freeze = (value: unknown): void => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    for (const key of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key)!;
      freeze("value" in property ? property.value : property.get);
      freeze(property.set);
    }
    freeze(Object.getPrototypeOf(value));
    Object.freeze(value);
  };
  // Prototypes that no name leads to.
  for (const each of [function* () {}, async function () {}, async function* () {}, async () => {}, [][Symbol.iterator](), new Map().entries(), new Set().values(), ""[Symbol.iterator](), "".matchAll(/a/g)]) freeze(each);
  freeze(globalThis);
}
