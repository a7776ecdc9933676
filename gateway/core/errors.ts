import { ERROR_TABLE, PopulaceError } from "@populace/domain";
import type { ErrorCode } from "@populace/domain";

export interface ErrorAnswer {
  readonly status: number;
  readonly body: { readonly error: { readonly code: ErrorCode; readonly message: string; readonly details: Readonly<Record<string, unknown>> } };
}

/** What a request may be refused with by the HTTP library, mapped to our codes. */
const LIBRARY_CODES: Readonly<Record<string, ErrorCode>> = { FST_ERR_CTP_BODY_TOO_LARGE: "TOO_LARGE", FST_ERR_NOT_FOUND: "NOT_FOUND" };

/** The answer to a failure: code, message and details of the error table; what is unexpected says nothing about the inside. */
export function errorAnswer(error: unknown): ErrorAnswer {
  if (error instanceof PopulaceError) return answer(error.code, error.message, error.details);
  const library = error as { readonly code?: string; readonly statusCode?: number; readonly message?: string; readonly validation?: unknown };
  if (Array.isArray(library.validation)) return answer("BAD_REQUEST", `${validationText(library.validation)}; see /openapi.json`, { problems: library.validation.length });
  const mapped = library.code === undefined ? undefined : LIBRARY_CODES[library.code];
  if (mapped !== undefined) return answer(mapped, library.message ?? ERROR_TABLE[mapped].sentence, {});
  if (library.statusCode !== undefined && library.statusCode >= 400 && library.statusCode < 500) return answer("BAD_REQUEST", String(library.message ?? ERROR_TABLE.BAD_REQUEST.sentence).slice(0, 300), {});
  return answer("INTERNAL", ERROR_TABLE.INTERNAL.sentence, {});
}

export const answer = (code: ErrorCode, message: string, details: Readonly<Record<string, unknown>>): ErrorAnswer => ({ status: ERROR_TABLE[code].http, body: { error: { code, message, details } } });

/** The deepest problem first: a union fails in every branch, and the branch that got farthest is the one that was meant. */
function validationText(problems: readonly unknown[]): string {
  const [problem] = (problems as { instancePath?: string; message?: string; params?: { additionalProperty?: string } }[]).toSorted((a, b) => (b.instancePath ?? "").split("/").length - (a.instancePath ?? "").split("/").length);
  const place = problem?.instancePath === undefined || problem.instancePath === "" ? "the body" : `body${problem.instancePath}`;
  const extra = problem?.params?.additionalProperty;
  return `${place} ${problem?.message ?? "does not fit its schema"}${extra === undefined ? "" : ` (${JSON.stringify(String(extra).slice(0, 80))})`}`;
}
