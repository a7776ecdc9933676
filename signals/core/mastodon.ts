import { isObject, parseJson, textOr } from "./json.ts";
import { record } from "./record.ts";
import type { Parsed, Rejected, SignalRecord } from "./record.ts";
import { cut, plainText, rfc3339Ms } from "./text.ts";
import { SIGNAL_LIMITS } from "./limits.ts";

/**
 * Records of Mastodon: a Status, a JSON list of them, or a stream of server-sent events (`update`, `status.update`, `delete`;
 * other events are named as rejected, heartbeats are skipped).
 */
export function parseMastodon(text: string): Parsed {
  const start = text.trimStart()[0];
  if (start === "{" || start === "[") {
    const parsed = parseJson(text);
    if ("reason" in parsed) return { records: [], rejected: [{ index: 0, reason: parsed.reason }] };
    return collect((Array.isArray(parsed.value) ? parsed.value : [parsed.value]).map((status) => () => statusRecord(status, "create")));
  }
  return collect(serverSentEvents(text).map(({ event, data }) => () => eventRecord(event, data)));
}

function collect(reads: readonly (() => SignalRecord | string)[]): Parsed {
  const records: SignalRecord[] = [];
  const rejected: Rejected[] = [];
  reads.slice(0, SIGNAL_LIMITS.recordsMax).forEach((read, index) => {
    const result = read();
    if (typeof result === "string") rejected.push({ index, reason: result });
    else records.push(result);
  });
  return { records, rejected };
}

function eventRecord(event: string, data: string): SignalRecord | string {
  if (event === "delete") return /^\S{1,100}$/.test(data) ? record("mastodon", `status/${data}`, { action: "delete" }) : "the delete names no status";
  if (event !== "update" && event !== "status.update") return `event ${JSON.stringify(event.slice(0, 60))} carries no status`;
  const parsed = parseJson(data);
  return "reason" in parsed ? parsed.reason : statusRecord(parsed.value, event === "update" ? "create" : "update");
}

function statusRecord(status: unknown, action: "create" | "update"): SignalRecord | string {
  if (!isObject(status)) return "the status is no object";
  const id = status["id"];
  if (typeof id !== "string" || id === "" || id.length > 100) return "the status has no id";
  if (typeof status["content"] !== "string") return "the status has no content";
  // Followers-only and direct posts were never meant for us.
  const visibility = textOr(status["visibility"], "public");
  if (visibility !== "public" && visibility !== "unlisted") return `the status is ${visibility.slice(0, 20)}, not public`;
  const account = isObject(status["account"]) ? status["account"] : {};
  const tags = Array.isArray(status["tags"]) ? status["tags"].flatMap((tag) => (isObject(tag) && typeof tag["name"] === "string" ? [cut(tag["name"], 200)] : [])) : [];
  const url = textOr(status["url"], null) ?? textOr(status["uri"], null);
  return record("mastodon", `status/${id}`, {
    action, text: plainText(status["content"]), subject: textOr(account["acct"], null) ?? textOr(account["id"], null), language: textOr(status["language"], null),
    atMs: typeof status["created_at"] === "string" ? rfc3339Ms(status["created_at"]) : null, url: url !== null && /^https?:\/\//i.test(url) ? cut(url, SIGNAL_LIMITS.nameCharactersMax) : null, topics: tags.slice(0, SIGNAL_LIMITS.topicsMax),
  });
}

/** Events of a text/event-stream (WHATWG HTML, section 9.2.6); one without data dispatches nothing. */
function serverSentEvents(text: string): { event: string; data: string }[] {
  const events: { event: string; data: string }[] = [];
  let event = "", data: string[] = [];
  const dispatch = (): void => {
    if (data.length > 0) events.push({ event: event === "" ? "message" : event, data: data.join("\n") });
    event = "";
    data = [];
  };
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (line === "") dispatch();
    if (line === "" || line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
  }
  dispatch();
  return events;
}
