/** The few parts of cli-progress 3 that are used; the package ships no types. */
declare module "cli-progress" {
  export class SingleBar {
    constructor(options: Readonly<Record<string, unknown>>);
    start(total: number, startValue: number, payload?: Readonly<Record<string, unknown>>): void;
    update(current: number, payload?: Readonly<Record<string, unknown>>): void;
    setTotal(total: number): void;
    stop(): void;
  }
}
