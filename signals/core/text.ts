import { SIGNAL_LIMITS } from "./limits.ts";

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " ", hellip: "…", ndash: "–", mdash: "—", lsquo: "‘", rsquo: "’", ldquo: "“", rdquo: "”" };
/** Elements whose content is no text. */
const SILENT = new Set(["script", "style", "template", "noscript", "iframe", "object"]);
const BLOCKS = new Set(["p", "br", "div", "li", "tr", "td", "th", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "section", "article"]);

/**
 * Returns the plain text of a piece of HTML: markup, comments, scripts and styles removed, common and numeric entities decoded
 * once, white space collapsed, cut at the limit. One pass from left to right whatever the input: broken markup costs no more
 * than good markup. The result is text, not safe HTML: whoever shows it must escape it.
 */
export function plainText(html: string, charactersMax: number = SIGNAL_LIMITS.textCharactersMax): string {
  const pieces: string[] = [];
  let silent: string | null = null;
  let position = 0;
  while (position < html.length) {
    const open = html.indexOf("<", position);
    if (open === -1) {
      if (silent === null) pieces.push(html.slice(position));
      break;
    }
    if (silent === null && open > position) pieces.push(html.slice(position, open));
    if (html.startsWith("<!--", open)) {
      const end = html.indexOf("-->", open + 4);
      position = end === -1 ? html.length : end + 3;
      continue;
    }
    // "<" that opens no tag is a character: "3 < 4".
    if (!/[a-zA-Z/!?]/.test(html[open + 1] ?? "")) {
      if (silent === null) pieces.push("<");
      position = open + 1;
      continue;
    }
    const close = html.indexOf(">", open + 1);
    const tag = html.slice(open + 1, close === -1 ? Math.min(html.length, open + 40) : Math.min(close, open + 40));
    const name = /^\/?([a-zA-Z][a-zA-Z0-9]*)/.exec(tag)?.[1]?.toLowerCase() ?? "";
    position = close === -1 ? html.length : close + 1;
    if (silent !== null) {
      if (tag.startsWith("/") && name === silent) silent = null;
    } else if (SILENT.has(name) && !tag.startsWith("/") && html[position - 2] !== "/") silent = name;
    else if (BLOCKS.has(name)) pieces.push(" ");
  }
  return cut(decodeEntities(pieces.join("")).replace(/\s+/g, " ").trim(), charactersMax);
}

/** Decodes common named and numeric entities once; unknown ones stay as they are. */
function decodeEntities(text: string): string {
  return text.replace(/&(#x[0-9a-fA-F]{1,6}|#[0-9]{1,7}|[a-zA-Z]{2,10});/g, (whole, name: string) => {
    if (name[0] !== "#") return Object.hasOwn(ENTITIES, name) ? ENTITIES[name]! : whole;
    const code = name[1] === "x" ? Number.parseInt(name.slice(2), 16) : Number.parseInt(name.slice(1), 10);
    return code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff) ? String.fromCodePoint(code) : "\ufffd";
  });
}

/** The text cut to so many characters, never inside a surrogate pair. */
export function cut(text: string, charactersMax: number): string {
  if (text.length <= charactersMax) return text;
  const last = text.charCodeAt(charactersMax - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? charactersMax - 1 : charactersMax);
}

/** Epoch milliseconds of an RFC 3339 time (seconds needed, as CloudEvents asks), or null. */
export function rfc3339Ms(text: string): number | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d{1,12})?([Zz]|[+-]\d{2}:\d{2})$/.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [number, number, number, number, number, number];
  const zone = match[8]!;
  const zoneHours = zone.length === 1 ? 0 : Number(zone.slice(1, 3)), zoneMinutes = zone.length === 1 ? 0 : Number(zone.slice(4, 6));
  if (hour > 23 || minute > 59 || second > 60 || zoneHours > 23 || zoneMinutes > 59) return null;
  const dayMs = Date.UTC(year, month - 1, day);
  const back = new Date(dayMs);
  if (back.getUTCMonth() !== month - 1 || back.getUTCDate() !== day) return null;
  const offsetMinutes = (zone[0] === "-" ? -1 : 1) * (zoneHours * 60 + zoneMinutes);
  return dayMs + ((hour * 60 + minute - offsetMinutes) * 60 + second) * 1000 + Math.floor(Number(match[7] ?? 0) * 1000);
}
