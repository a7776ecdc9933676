import { parseFeed } from "@rowanmanning/feed-parser";
import { SIGNAL_LIMITS } from "./limits.ts";
import { record } from "./record.ts";
import type { Parsed, Rejected, SignalRecord } from "./record.ts";
import { cut, plainText } from "./text.ts";

/** Levels of nesting an honest feed never reaches; deeper ones would exhaust the parser's stack. */
const DEPTH_MAX = 200;

/**
 * Records of an RSS 0.9x, 1.0 (RDF), 2.0 or Atom document. Document type declarations are removed before parsing, so no entity
 * is ever expanded but the five of XML and HTML's own; markup is stripped from every text.
 */
export function parseFeedDocument(text: string): Parsed {
  const xml = withoutDocumentType(text);
  const depth = nestingDepth(xml);
  if (depth > DEPTH_MAX) return { records: [], rejected: [{ index: 0, reason: `elements are nested ${depth} deep; at most ${DEPTH_MAX} levels are read` }] };
  let feed: ReturnType<typeof parseFeed>;
  try {
    feed = parseFeed(xml);
  } catch (error) {
    return { records: [], rejected: [{ index: 0, reason: `no RSS, Atom or RDF feed: ${error instanceof Error ? error.message.slice(0, 200) : "unreadable"}` }] };
  }
  const records: SignalRecord[] = [];
  const rejected: Rejected[] = [];
  const items = feed.items;
  if (items.length === 0) rejected.push({ index: 0, reason: "the feed has no item" });
  items.forEach((item, index) => {
    try {
      const title = plainText(item.title ?? "", SIGNAL_LIMITS.nameCharactersMax);
      const body = plainText(item.content ?? item.description ?? "");
      // RDF names its items by an attribute; RSS' guid is an address unless it says otherwise.
      const named = item.id ?? item.element.getAttribute("rdf:about");
      const url = safeUrl(item.url ?? named);
      const id = named ?? url ?? (title === "" ? null : title);
      if (id === null && body === "") {
        rejected.push({ index, reason: "the item has neither id, link, title nor text" });
        return;
      }
      const published = item.published ?? item.updated;
      records.push(record("rss", cut(id ?? body, SIGNAL_LIMITS.nameCharactersMax), {
        kind: "news", title: title === "" ? null : title, text: body, url, language: feed.language,
        atMs: published === null || Number.isNaN(published.getTime()) ? null : published.getTime(),
        topics: item.categories.slice(0, SIGNAL_LIMITS.topicsMax).map((category) => cut(plainText(category.label ?? category.term ?? ""), SIGNAL_LIMITS.nameCharactersMax)).filter((topic) => topic !== ""),
      }));
    } catch (error) {
      rejected.push({ index, reason: `the item cannot be read: ${error instanceof Error ? error.message.slice(0, 200) : "unreadable"}` });
    }
  });
  return { records, rejected };
}

/** Removes `<!DOCTYPE ...>` with its internal subset, quotes and comments inside it respected; an unclosed one to the end. */
function withoutDocumentType(text: string): string {
  const start = text.search(/<!doctype/i);
  // Only in the prolog: inside a CDATA section or a text it is content.
  const firstElement = text.search(/<[a-zA-Z_]/);
  if (start === -1 || (firstElement !== -1 && firstElement < start)) return text;
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const character = text[i]!;
    if (character === '"' || character === "'") {
      const end = text.indexOf(character, i + 1);
      if (end === -1) break;
      i = end;
    } else if (text.startsWith("<!--", i)) {
      const end = text.indexOf("-->", i + 4);
      if (end === -1) break;
      i = end + 2;
    } else if (character === "<") depth++;
    else if (character === ">" && --depth === 0) return text.slice(0, start) + text.slice(i + 1);
  }
  return text.slice(0, start);
}

function nestingDepth(xml: string): number {
  let depth = 0, deepest = 0;
  for (let open = xml.indexOf("<"); open !== -1 && open < xml.length; open = xml.indexOf("<", open + 1)) {
    if (xml.startsWith("<![CDATA[", open)) {
      const end = xml.indexOf("]]>", open);
      if (end === -1) break;
      open = end;
    } else if (xml.startsWith("<!--", open)) {
      const end = xml.indexOf("-->", open);
      if (end === -1) break;
      open = end;
    } else if (xml[open + 1] === "/") depth--;
    else if (xml[open + 1] !== "!" && xml[open + 1] !== "?") {
      const close = xml.indexOf(">", open);
      if (close === -1) break;
      if (xml[close - 1] !== "/") deepest = Math.max(deepest, ++depth);
      open = close;
    }
  }
  return deepest;
}

/** Addresses are kept for show only; anything but the web (`javascript:`, `data:`) is dropped. */
function safeUrl(url: string | null): string | null {
  if (url === null || url.length > SIGNAL_LIMITS.nameCharactersMax || !/^https?:\/\//i.test(url)) return null;
  return url;
}
