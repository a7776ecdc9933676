import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { PopulaceError } from "@populace/domain";
import { Spool, writePiecesAtomic } from "./spool.ts";

const lines = Array.from({ length: 5000 }, (_, index) => JSON.stringify({ recipient: `r${index} ☂ 𐐷`, text: "line\nend" }));
const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));

describe("spool", () => {
  it.each([["in memory", 1e9], ["in a file", 1000]])("gives the lines back as items of an array, %s, however they were cut", (_name, limit) => {
    const spool = new Spool(limit);
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7) % 4099) spool.add(bytes.subarray(at, at + size));
    expect(JSON.parse(`[${[...spool.items()].join("")}]`)).toEqual(lines.map((line) => JSON.parse(line)));
  });

  it("of nothing is an empty array, and no file stays behind", () => {
    expect([...new Spool(0).items()].join("")).toBe("");
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith(`populace-${process.pid}-`));
    const spool = new Spool(0);
    spool.add(bytes);
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith(`populace-${process.pid}-`))).toEqual(before);
    expect([...spool.items()].join("").length).toBeGreaterThan(0);
  });
});

describe("a file in pieces", () => {
  const folder = mkdtempSync(join(tmpdir(), "pieces-"));

  it("is there whole", async () => {
    const path = join(folder, "below", "whole.jsonl");
    await writePiecesAtomic(path, async (add) => {
      for (let at = 0; at < bytes.length; at += 1000) add(bytes.subarray(at, at + 1000));
      await Promise.resolve();
    });
    expect(readFileSync(path)).toEqual(bytes);
    expect(readdirSync(join(folder, "below"))).toEqual(["whole.jsonl"]);
  });

  it("is not there at all when its maker fails, and the old one stays", async () => {
    const path = join(folder, "kept.jsonl");
    writeFileSync(path, "old");
    await expect(writePiecesAtomic(path, (add) => {
      add(bytes);
      return Promise.reject(new PopulaceError("BAD_DATA", "row 7"));
    })).rejects.toMatchObject({ code: "BAD_DATA", message: "row 7" });
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(folder).filter((name) => name.endsWith(".part"))).toEqual([]);
    await expect(writePiecesAtomic(join(path, "x"), () => Promise.resolve())).rejects.toMatchObject({ code: "STORE_FAILED" });
    rmSync(folder, { recursive: true });
    expect(existsSync(path)).toBe(false);
  });
});
