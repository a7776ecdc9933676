import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import fc from "fast-check";
import { memoryPorts } from "@populace/io";
import { consentGate, deduplicate, ingest, NOTHING_SEEN, parseSignals, plainText, readSource, sentiment, shocksFrom, SIGNAL_FORMATS, SIGNAL_LIMITS, signalSubject } from "./mod.ts";
import type { SignalRecord } from "./mod.ts";

const post = (changes: Partial<SignalRecord>): SignalRecord => ({ id: "1", format: "jetstream", kind: "post", action: "create", atMs: 0, title: null, text: "", url: null, subject: null, language: null, topics: [], value: null, measures: {}, ...changes });

describe("feeds", () => {
  it("reads RSS, Atom and RDF into one shape", () => {
    const rss = parseSignals("rss", `<?xml version="1.0"?><rss version="2.0"><channel><title>T</title><language>en</language><item><title>Rates &amp;amp; jobs</title><link>https://example.org/1</link><guid>g1</guid><pubDate>Mon, 02 Mar 2026 10:00:00 GMT</pubDate><description>&lt;p&gt;Prices &lt;b&gt;rose&lt;/b&gt;&lt;script&gt;alert(1)&lt;/script&gt;.&lt;/p&gt;</description><category>economy</category></item></channel></rss>`);
    expect(rss.rejected).toEqual([]);
    expect(rss.records).toEqual([post({ id: "g1", format: "rss", kind: "news", atMs: Date.UTC(2026, 2, 2, 10), title: "Rates & jobs", text: "Prices rose.", url: "https://example.org/1", language: "en", topics: ["economy"] })]);
    const atom = parseSignals("rss", `<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>tag:1</id><title type="html">Up &lt;i&gt;again&lt;/i&gt;</title><updated>2026-03-01T00:00:00Z</updated><content type="html">Good news</content></entry></feed>`);
    expect(atom.records[0]).toMatchObject({ id: "tag:1", title: "Up again", text: "Good news", atMs: Date.UTC(2026, 2, 1) });
    const rdf = parseSignals("rss", `<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"><channel><title>c</title></channel><item rdf:about="https://example.org/x"><title>RDF item</title></item></rdf:RDF>`);
    expect(rdf.records[0]).toMatchObject({ id: "https://example.org/x", title: "RDF item", url: "https://example.org/x" });
  });

  it("expands no entity, follows no reference and keeps no address that could run", () => {
    const bomb = `<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;&lol;"><!ENTITY lol3 "&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;&lol2;"><!ENTITY file SYSTEM "file:///etc/passwd">]><rss><channel><item><guid>1</guid><title>&lol3; &file;</title><link>javascript:alert(1)</link></item></channel></rss>`;
    const { records } = parseSignals("rss", bomb);
    expect(records[0]!.title!.length).toBeLessThan(40);
    expect(records[0]!.title).not.toMatch(/lollol|root:/);
    expect(records[0]!.url).toBeNull();
  });

  it("rejects what is no feed, is nested without end or too long", () => {
    expect(parseSignals("rss", "<html></html>").rejected[0]!.reason).toMatch(/no RSS, Atom or RDF feed/);
    expect(parseSignals("rss", "<a>".repeat(100_000)).rejected[0]!.reason).toMatch(/nested 100000 deep/);
    expect(parseSignals("rss", " ".repeat(SIGNAL_LIMITS.documentCharactersMax + 1)).rejected[0]!.reason).toMatch(/at most/);
    expect(parseSignals("rss", "").rejected).toEqual([{ index: 0, reason: "the document is empty" }]);
    expect(() => parseSignals("cdf" as never, "")).toThrow(/expected one of rss/);
  });

  it("decodes bytes by mark, declaration or UTF-8", () => {
    const xml = (encoding: string): string => `<?xml version="1.0" encoding="${encoding}"?><rss><channel><item><guid>1</guid><title>Käufer</title></item></channel></rss>`;
    const title = (bytes: Uint8Array): string | null => parseSignals("rss", bytes).records[0]!.title;
    expect(title(Buffer.from(xml("utf-8")))).toBe("Käufer");
    expect(title(Buffer.from(xml("iso-8859-1"), "latin1"))).toBe("Käufer");
    expect(title(Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(xml("utf-16"), "utf16le")]))).toBe("Käufer");
    expect(title(Buffer.from(xml("no-such-encoding")))).toBe("Käufer");
  });
});

describe("posts, events and series", () => {
  it("reads Jetstream frames and honors deletes and closed accounts", () => {
    const frames = [
      { did: "did:plc:abc", time_us: 1e15, kind: "commit", commit: { operation: "create", collection: "app.bsky.feed.post", rkey: "k", record: { text: "hello", langs: ["en"], createdAt: "1985-01-01T00:00:00Z" } } },
      { did: "did:plc:abc", time_us: 1e15, kind: "commit", commit: { operation: "delete", collection: "app.bsky.feed.post", rkey: "k" } },
      { did: "did:plc:abc", time_us: 1e15, kind: "account", account: { active: false } },
      { did: "did:plc:abc", time_us: 1e15, kind: "commit", commit: { operation: "create", collection: "app.bsky.feed.post", rkey: "k", record: { text: 5 } } },
      { did: "nobody", time_us: 1e15, kind: "account", account: { active: true } },
    ];
    const { records, rejected } = parseSignals("jetstream", `${frames.map((frame) => JSON.stringify(frame)).join("\n")}\n{"did":`);
    expect(records.map(({ id, action, kind, text, subject, atMs }) => ({ id, action, kind, text, subject, atMs }))).toEqual([
      { id: "at://did:plc:abc/app.bsky.feed.post/k", action: "create", kind: "post", text: "hello", subject: "did:plc:abc", atMs: 1e12 },
      { id: "at://did:plc:abc/app.bsky.feed.post/k", action: "delete", kind: "post", text: "", subject: "did:plc:abc", atMs: 1e12 },
      { id: "did:plc:abc/account/1000000000000000", action: "inactive", kind: "account", text: "", subject: "did:plc:abc", atMs: 1e12 },
    ]);
    expect(rejected.map((row) => row.index)).toEqual([3, 4, 5]);
    expect(rejected.map((row) => row.reason).join()).toMatch(/the post has no text.*no did.*no JSON/);
  });

  it("reads an economic series cell by cell and names a bad date and number", () => {
    const { records, rejected } = parseSignals("series", "month,cpi,jobs\n2026-01,1.5,10\n2026-02-01,,11\nsoon,1,2\n2026-03,x,12\n2026-04,1\n");
    expect(records.map((one) => [one.id, one.value, one.atMs])).toEqual([["cpi@2026-01", 1.5, Date.UTC(2026, 0, 1)], ["jobs@2026-01", 10, Date.UTC(2026, 0, 1)], ["jobs@2026-02-01", 11, Date.UTC(2026, 1, 1)], ["jobs@2026-03", 12, Date.UTC(2026, 2, 1)]]);
    expect(rejected).toEqual([{ index: 2, reason: 'column "month": no date; expected YYYY-MM, YYYY-MM-DD or RFC 3339' }, { index: 3, reason: 'column "cpi": no number' }, { index: 4, reason: "2 cells; the header has 3" }]);
  });

  it("never throws and always accounts for hostile input", () => {
    const hostile = fc.oneof(fc.string({ maxLength: 300 }), fc.json(), fc.array(fc.constantFrom("<rss>", "<item>", "</item>", "<![CDATA[", "]]>", "<!DOCTYPE", "<!--", "&#0;", "&#xffffff;", "<title>", "\u0000", "data: {", "\n\n", "event: update\n", '{"did":1}', "\t", ",", '"'), { maxLength: 30 }).map((parts) => parts.join("")));
    fc.assert(
      fc.property(fc.constantFrom(...SIGNAL_FORMATS), hostile, (format, text) => {
        const { records, rejected } = parseSignals(format, text);
        expect(rejected.every((row) => row.index >= 0 && row.reason !== "")).toBe(true);
        expect(records.every((one) => one.id !== "" && one.text.length <= SIGNAL_LIMITS.textCharactersMax && (one.value === null || Number.isFinite(one.value)))).toBe(true);
      }),
      { numRuns: 1500 },
    );
    fc.assert(fc.property(fc.constantFrom(...SIGNAL_FORMATS), fc.uint8Array({ maxLength: 300 }), (format, bytes) => parseSignals(format, bytes).rejected.length >= 0));
  });
});

describe("plain text", () => {
  it("drops markup and its content where that is no text, whatever is broken", () => {
    expect(plainText("<p>a<br>b &amp;lt; c</p><!-- x --><style>p{}</style> 3 < 4")).toBe("a b &lt; c 3 < 4");
    expect(plainText("<script>if (a < b) steal()</script>ok")).toBe("ok");
    expect(plainText("<scr<script>ipt>alert(1)</script>x")).not.toContain("<");
    expect(plainText("&#0;&#xD800;&#9731;&unknown;")).toBe("\ufffd\ufffd☃&unknown;");
    expect(plainText("x".repeat(50), 10)).toBe("x".repeat(10));
    expect(plainText("a😀", 2)).toBe("a");
  });
});

describe("deduplication and consent", () => {
  it("passes each thing once, each state of an update once, and every delete", () => {
    const one = post({}), two = post({ id: "2" }), edit = post({ action: "update", atMs: 5 }), gone = post({ action: "delete" });
    const first = deduplicate([one, one, two, edit, edit, gone, gone]);
    expect(first.fresh).toEqual([one, two, edit, gone, gone]);
    expect(first.doubled).toBe(2);
    expect(deduplicate([one, two, post({ id: "3" })], first.seen).fresh.map((record) => record.id)).toEqual(["3"]);
    expect(deduplicate([one, two, post({ id: "3" })], NOTHING_SEEN, 2).seen.ids.size).toBe(2);
  });

  it("lets nothing about a person pass without that person's consent at that time", () => {
    const atMs = Date.UTC(2026, 2, 1);
    const about = (subject: string | null, action: SignalRecord["action"] = "create"): SignalRecord => post({ subject, action, text: "secret", topics: ["t"] });
    const consentOf = (subject: string) => (subject === "yes" ? [{ purpose: "research", until: "2026-12-31" }] : subject === "late" ? [{ purpose: "research", until: "2026-02-01" }] : subject === "other" ? [{ purpose: "ads", until: null }] : []);
    const gate = (record: SignalRecord) => consentGate([record], "research", atMs, consentOf);
    expect(gate(about(null)).passed).toHaveLength(1);
    expect(gate(about("yes")).passed).toHaveLength(1);
    for (const subject of ["late", "other", "nobody"]) expect(gate(about(subject))).toEqual({ passed: [], refused: 1 });
    expect(gate(about("nobody", "delete")).passed[0]).toMatchObject({ subject: "nobody", text: "", topics: [] });
    expect(consentGate([about("x")], "research", atMs, () => { throw new Error("ledger away"); }).passed).toEqual([]);
  });
});

describe("shocks", () => {
  const DAY = 86_400_000, origin = Date.UTC(2026, 0, 1);

  it("come from a surprise of a series, sized by its z, and from nothing else", () => {
    const changes = [1, -1, 1, -1, 1, -1, 1, -1, 1, -1];
    let level = 100;
    const series = changes.map((change, month) => post({ id: `s${month}`, format: "series", kind: "series", topics: ["jobs"], value: (level += change), atMs: origin - (20 - month) * DAY }));
    const options = { originMs: origin, tickMs: DAY, series: [{ series: "jobs", attitude: "price-sensitivity", direction: -1 } as const] };
    expect(shocksFrom(series, options)).toEqual([]);
    const crash = post({ id: "crash", format: "series", kind: "series", topics: ["jobs"], value: level - 5, atMs: origin + 3 * DAY });
    const [shock, ...rest] = shocksFrom([...series, crash], options);
    expect(rest).toEqual([]);
    // Nine earlier changes: mean -1/9, sample sd sqrt(10/9) = 1.0541, so z = -4.638 and the size +0.4638.
    expect(shock).toMatchObject({ attitude: "price-sensitivity", startTick: 3, persona: "*", source: "series:jobs" });
    expect(shock!.size).toBeCloseTo(0.46380, 4);
    expect(shock!.evidence).toMatch(/jobs changed by -5 on 2026-01-04/);
    // Ten days before the run, with a half-life of 10: half of it is left at tick 0.
    const [late] = shocksFrom([...series, { ...crash, atMs: origin - 10 * DAY }], { ...options, limits: { seriesHalfLifeTicks: 10 } });
    expect(late!.startTick).toBe(0);
    expect(late!.size).toBeCloseTo(shock!.size / 2, 4);
  });

  it("come from a day of texts unlike the days before, in the direction of their sentiment", () => {
    const texts = (day: number, text: string, count = 12): SignalRecord[] => Array.from({ length: count }, (_, index) => post({ id: `${day}/${index}`, text, atMs: origin + day * DAY + index }));
    const calm = [0, 1, 2].flatMap((day) => texts(day, "The shop is open on Monday."));
    const options = { originMs: origin, tickMs: DAY };
    expect(shocksFrom(calm, options)).toEqual([]);
    const [bad] = shocksFrom([...calm, ...texts(3, "Terrible service, I hate this awful shop.")], options);
    expect(bad).toMatchObject({ attitude: "brand-warmth", startTick: 4, source: "sentiment" });
    expect(bad!.size).toBeLessThan(-0.2);
    expect(bad!.size).toBeGreaterThanOrEqual(-0.5);
    expect(shocksFrom([...calm, ...texts(3, "Wonderful, I love it!", 4)], options)).toEqual([]);
    expect(shocksFrom([...calm, ...texts(3, "Terrible service!")].map((one) => ({ ...one, action: "delete" as const })), options)).toEqual([]);
  });
});

describe("sources", () => {
  const folder = mkdtempSync(join(tmpdir(), "populace-signals-"));
  const server = createServer((request, response) => {
    if (request.url === "/moved") response.writeHead(302, { location: "/feed" }).end();
    else if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
    else if (request.url === "/file") response.writeHead(302, { location: "file:///etc/passwd" }).end();
    else if (request.url === "/gone") response.writeHead(410).end();
    else if (request.url === "/slow") response.write("<rss>");
    else response.end("<rss><channel><item><guid>1</guid><title>ok</title></item></channel></rss>");
  });
  let base = "";
  beforeAll(async () => {
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it("are files and addresses, bounded in size and time", async () => {
    writeFileSync(join(folder, "feed.xml"), "<rss/>");
    expect(Buffer.from(await readSource(join(folder, "feed.xml"))).toString()).toBe("<rss/>");
    expect(Buffer.from(await readSource(`file://${folder}/feed.xml`)).toString()).toBe("<rss/>");
    expect(parseSignals("rss", await readSource(`${base}/moved`)).records[0]!.title).toBe("ok");
    await expect(readSource(join(folder, "none"))).rejects.toMatchObject({ code: "FILE_MISSING" });
    await expect(readSource("ftp://x/y")).rejects.toMatchObject({ code: "BAD_USAGE" });
    await expect(readSource(`${base}/gone`)).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/status 410/) });
    await expect(readSource(`${base}/loop`)).rejects.toMatchObject({ message: expect.stringMatching(/redirects/) });
    await expect(readSource(`${base}/file`)).rejects.toMatchObject({ message: expect.stringMatching(/not followed/) });
    await expect(readSource(`${base}/slow`, { timeoutMs: 100 })).rejects.toMatchObject({ code: "UNAVAILABLE", message: expect.stringMatching(/within 100 ms/) });
    await expect(readSource(`${base}/feed`, { bytesMax: 10 })).rejects.toMatchObject({ code: "TOO_LARGE" });
  });

  it("are published on their format's subject after the gate", async () => {
    writeFileSync(join(folder, "events.json"), JSON.stringify([{ specversion: "1.0", id: "1", source: "s", type: "t", data: { text: "hi" } }, { specversion: "1.0", id: "2", source: "s", type: "t", subject: "person" }, { specversion: "1.0", id: "1", source: "s", type: "t" }, { specversion: "1.0" }]));
    const { bus } = memoryPorts();
    const heard = new Promise<SignalRecord>((resolve) => bus.subscribe(signalSubject("me", "cloudevents"), (_subject, bytes) => resolve(JSON.parse(Buffer.from(bytes).toString()) as SignalRecord)));
    const result = await ingest(join(folder, "events.json"), "cloudevents", { purpose: "research", atMs: 1, consentOf: () => [], publish: { bus, tenant: "me" } });
    expect(result).toMatchObject({ doubled: 1, withoutConsent: 1, rejected: [{ index: 3 }] });
    expect(result.records.map((one) => one.id)).toEqual(["s#1"]);
    expect(await heard).toEqual(result.records[0]);
  });
});

// ---- real data, kept outside the repository ----

const data = process.env["POPULACE_DATA"] ?? new URL("../../shared/data", import.meta.url).pathname;
const read = (path: string): Buffer => readFileSync(join(data, path));

describe.skipIf(!existsSync(join(data, "payloads")))("payloads met in the world (skipped without the shared data)", () => {
  it("1,049 documents of the feedparser corpus: no crash, each without a record says why", () => {
    const files = tarEntries(gunzipSync(read("payloads/feeds/feedparser_corpus_half_a.tar.gz")));
    expect(files.length).toBe(1049);
    let withRecords = 0;
    for (const { name, bytes } of files) {
      const { records, rejected } = parseSignals("rss", bytes);
      if (records.length > 0) withRecords++;
      else expect(rejected.length, name).toBeGreaterThan(0);
      for (const one of records) expect(`${one.title} ${one.text}`, name).not.toMatch(/<script|javascript:/i);
    }
    // Half of the corpus tests parts outside of items; what is left must not shrink unnoticed.
    expect(withRecords).toBeGreaterThan(220);
  });

  it("Jetstream, Mastodon, GDELT and CloudEvents samples", () => {
    const count = (format: Parameters<typeof parseSignals>[0], bytes: Uint8Array): [number, number] => {
      const { records, rejected } = parseSignals(format, bytes);
      return [records.length, rejected.length];
    };
    expect(count("jetstream", read("payloads/bluesky-jetstream/events.jsonl"))).toEqual([18, 0]);
    expect(count("mastodon", read("payloads/mastodon/status.json"))).toEqual([1, 0]);
    expect(count("mastodon", read("payloads/mastodon/streaming.sse.txt"))).toEqual([1, 4]);
    expect(count("gdelt-events", read("payloads/gdelt/events_v2_sample.tsv"))).toEqual([50, 0]);
    expect(count("gdelt-gkg", gunzipSync(read("payloads/gdelt/gkg_v2_sample.tsv.gz")))).toEqual([50, 0]);
    expect(count("cloudevents", read("payloads/cloudevents/valid-events.json"))).toEqual([10, 0]);
    expect(count("cloudevents", read("payloads/cloudevents/invalid-events-part1.json"))).toEqual([0, 10]);
  });

  it("the downturn of 2008 shocks price sensitivity upward", () => {
    const { records } = parseSignals("series", read("economy/us-employment.csv"));
    const shocks = shocksFrom(records, { originMs: Date.UTC(2008, 0, 1), tickMs: 86_400_000, series: [{ series: "nonfarm", attitude: "price-sensitivity", direction: -1 }] });
    const downturn = shocks.filter((shock) => shock.startTick > 0 && shock.startTick < 456);
    expect(downturn.length).toBeGreaterThanOrEqual(6);
    expect(downturn.every((shock) => shock.size > 0)).toBe(true);
  });
});

describe.skipIf(!existsSync(join(data, "sentiment")))("human ratings (skipped without the shared data)", () => {
  // Published: VADER r = .881 on all tweets; its npm port .875 on this half.
  it("of tweets correlate with the score at .87 or more", () => {
    const rows = gunzipSync(read("sentiment/vader_tweets_half_a.tsv.gz")).toString("utf8").trim().split("\n").map((line) => line.split("\t")).filter((cells) => Number.isFinite(Number(cells[1])));
    expect(rows.length).toBeGreaterThan(2_000);
    expect(correlation(rows.map((cells) => Number(cells[1])), rows.map((cells) => sentiment(cells.slice(3).join("\t"))))).toBeGreaterThanOrEqual(0.87);
  });
});

function correlation(x: readonly number[], y: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const mx = mean(x), my = mean(y);
  const covariance = x.reduce((sum, value, index) => sum + (value - mx) * (y[index]! - my), 0);
  return covariance / Math.sqrt(x.reduce((sum, value) => sum + (value - mx) ** 2, 0) * y.reduce((sum, value) => sum + (value - my) ** 2, 0));
}

/** Files of a tar archive (POSIX ustar: 512-byte headers, size in octal at 124, type at 156). */
function tarEntries(archive: Buffer): { name: string; bytes: Buffer }[] {
  const entries: { name: string; bytes: Buffer }[] = [];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0; ) {
    const size = Number.parseInt(archive.toString("latin1", at + 124, at + 136), 8);
    const type = archive.toString("latin1", at + 156, at + 157);
    if (type === "0" || type === "\0") entries.push({ name: archive.toString("utf8", at, at + 100).replace(/\0.*$/s, ""), bytes: archive.subarray(at + 512, at + 512 + size) });
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return entries;
}
