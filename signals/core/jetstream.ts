import { eachJsonLine, isObject, numberOr, textOr } from "./json.ts";
import { record } from "./record.ts";
import type { Parsed, SignalRecord } from "./record.ts";
import { cut } from "./text.ts";
import { SIGNAL_LIMITS } from "./limits.ts";

/**
 * Records of Bluesky Jetstream frames, one JSON object a line: posts (text), likes, reposts and follows (reactions), account
 * changes. A delete names what to forget; an account that is no longer active asks to forget all of its subject's. The time is
 * the server's: `createdAt` is whatever the author claims.
 */
export const parseJetstream = (text: string): Parsed =>
  eachJsonLine(text, (frame): SignalRecord | string => {
    if (!isObject(frame)) return "the frame is no object";
    const did = textOr(frame["did"], "");
    if (!/^did:[a-z0-9]{1,20}:[A-Za-z0-9._:%-]{1,250}$/.test(did)) return "the frame has no did";
    const timeUs = numberOr(frame["time_us"], Number.NaN);
    if (!Number.isSafeInteger(timeUs) || timeUs <= 0) return "time_us is no positive integer";
    const atMs = Math.floor(timeUs / 1000);
    const kind = frame["kind"];
    if (kind === "account") {
      const account = frame["account"];
      if (!isObject(account) || typeof account["active"] !== "boolean") return "the account frame has no boolean active";
      return record("jetstream", `${did}/account/${timeUs}`, { kind: "account", action: account["active"] ? "update" : "inactive", atMs, subject: did });
    }
    if (kind === "identity") return isObject(frame["identity"]) ? record("jetstream", `${did}/identity/${timeUs}`, { kind: "account", action: "update", atMs, subject: did }) : "the identity frame has no identity";
    if (kind !== "commit") return `kind ${JSON.stringify(kind)?.slice(0, 60)} is unknown; expected commit, account or identity`;

    const commit = frame["commit"];
    if (!isObject(commit)) return "the commit frame has no commit";
    const { operation, collection, rkey } = commit;
    if (typeof collection !== "string" || typeof rkey !== "string") return "the commit has no collection or rkey";
    const id = cut(`at://${did}/${collection}/${rkey}`, SIGNAL_LIMITS.nameCharactersMax);
    const isPost = collection === "app.bsky.feed.post";
    if (operation === "delete") return record("jetstream", id, { kind: isPost ? "post" : "reaction", action: "delete", atMs, subject: did });
    if (operation !== "create" && operation !== "update") return `operation ${JSON.stringify(operation)?.slice(0, 60)} is unknown; expected create, update or delete`;
    const body = commit["record"];
    if (!isObject(body)) return "the commit has no record";
    if (isPost && typeof body["text"] !== "string") return "the post has no text";
    const languages = Array.isArray(body["langs"]) ? body["langs"].filter((language): language is string => typeof language === "string") : [];
    return record("jetstream", id, {
      kind: isPost ? "post" : "reaction", action: operation, subject: did, atMs,
      text: isPost ? cut(textOr(body["text"], ""), SIGNAL_LIMITS.textCharactersMax) : "", language: languages[0] ?? null, topics: [collection],
    });
  });
