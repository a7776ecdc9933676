import { isObject, numberOr, parseJson, textOr } from "./json.ts";
import { record } from "./record.ts";
import type { Parsed, Rejected, SignalRecord } from "./record.ts";
import { cut, plainText, rfc3339Ms } from "./text.ts";
import { SIGNAL_LIMITS } from "./limits.ts";

/**
 * Records of CloudEvents 1.0 in JSON: one event, a batch (list), one event a line, or the conformance suite's
 * `{tests: [{event}]}`. Required: specversion 1.0, id, source, type; time is RFC 3339. A text or number in `data` (or in its
 * `text`, `value`) becomes the record's.
 */
export function parseCloudEvents(text: string): Parsed {
  const parsed = parseJson(text);
  const events = "value" in parsed ? listOf(parsed.value) : text.split("\n").filter((line) => line.trim() !== "").map((line) => parseJson(line));
  const records: SignalRecord[] = [];
  const rejected: Rejected[] = [];
  events.slice(0, SIGNAL_LIMITS.recordsMax).forEach((event, index) => {
    const result = "reason" in event ? event.reason : eventRecord(event.value);
    if (typeof result === "string") rejected.push({ index, reason: result });
    else records.push(result);
  });
  if (events.length > SIGNAL_LIMITS.recordsMax) rejected.push({ index: SIGNAL_LIMITS.recordsMax, reason: `more than ${SIGNAL_LIMITS.recordsMax} events; the rest was not read` });
  return { records, rejected };
}

type Event = { readonly value: unknown } | { readonly reason: string };

function listOf(value: unknown): Event[] {
  if (Array.isArray(value)) return value.map((event) => ({ value: event as unknown }));
  if (isObject(value) && Array.isArray(value["tests"]) && !("specversion" in value)) return value["tests"].map((test) => ({ value: isObject(test) && "event" in test ? test["event"] : (test as unknown) }));
  return [{ value }];
}

function eventRecord(event: unknown): SignalRecord | string {
  if (!isObject(event)) return "the event is no object";
  if (event["specversion"] !== "1.0") return "specversion is missing or not \"1.0\"";
  for (const name of ["id", "source", "type"]) if (typeof event[name] !== "string" || event[name] === "") return `${name} is missing or no text`;
  for (const name of Object.keys(event)) if (!/^[a-z0-9]{1,64}$/.test(name) && name !== "data_base64") return `attribute name ${JSON.stringify(name.slice(0, 60))} is not lower-case letters and digits`;
  const { id, source, type, time, subject, datacontenttype, dataschema } = event;
  const atMs = typeof time === "string" ? rfc3339Ms(time) : null;
  if (time !== undefined && time !== null && atMs === null) return "time is no RFC 3339 time";
  for (const [name, value] of Object.entries({ subject, datacontenttype, dataschema })) {
    if (value !== undefined && value !== null && (typeof value !== "string" || value === "")) return `${name} is no text`;
  }
  const data = event["data"];
  const body = isObject(data) ? data : {};
  const text = textOr(data, null) ?? textOr(body["text"], "");
  const value = numberOr(data, numberOr(body["value"], Number.NaN));
  return record("cloudevents", cut(`${source as string}#${id as string}`, SIGNAL_LIMITS.nameCharactersMax), {
    kind: "event", atMs, text: plainText(text), subject: textOr(subject, null), topics: [cut(type as string, 200)], value: Number.isNaN(value) ? null : value,
  });
}
