import { PopulaceError } from "@populace/domain";

/** A test whether a subject matches a filter; `*` is one token, a last `>` one or more. */
export function subjectMatcher(filter: string): (subject: string) => boolean {
  const wanted = filter.split(".");
  if (wanted.some((token, index) => token === "" || (token === ">" && index !== wanted.length - 1))) {
    throw new PopulaceError("BAD_REQUEST", `"${filter}" is no subject filter: tokens must not be empty and ">" may only be the last`, { filter });
  }
  if (!/[*>]/.test(filter)) return (subject) => subject === filter;
  return (subject) => {
    let from = 0;
    for (const token of wanted) {
      if (from > subject.length) return false;
      if (token === ">") return true;
      const dot = subject.indexOf(".", from), to = dot < 0 ? subject.length : dot;
      if (token !== "*" && (to - from !== token.length || !subject.startsWith(token, from))) return false;
      from = to + 1;
    }
    return from > subject.length;
  };
}

/** The part of a filter before its first wildcard: what all matching subjects begin with. */
export const literalPrefix = (filter: string): string => /^[^*>]*/.exec(filter)![0];

/** Throws BAD_REQUEST unless the text is a subject without wildcards. */
export function assertSubject(subject: string): void {
  if (!/^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/.test(subject)) {
    throw new PopulaceError("BAD_REQUEST", `"${subject.slice(0, 120)}" is no subject: expected tokens of letters, digits, "_" and "-" joined by dots`, { subject });
  }
}

/** Whether a subject exists that both filters match. */
export function filtersMeet(left: string, right: string): boolean {
  const a = left.split("."), b = right.split(".");
  for (let index = 0; ; index += 1) {
    if (index === a.length && index === b.length) return true;
    if (a[index] === ">" && index < b.length) return true;
    if (b[index] === ">" && index < a.length) return true;
    if (index === a.length || index === b.length) return false;
    if (a[index] !== b[index] && a[index] !== "*" && b[index] !== "*") return false;
  }
}
