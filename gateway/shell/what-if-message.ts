import type { WhatIfAnswer, WhatIfQuestion } from "@populace/studies";

/** To the thread of what-if questions: a model to answer from, then questions. */
export type ToWhatIf =
  | { readonly kind: "model"; readonly text: string }
  | { readonly kind: "ask"; readonly ticket: number; readonly question: WhatIfQuestion };

/** From it: one answer or failure a question; `ready` once a model has been read and has answered a first question of our own. */
export type FromWhatIf =
  | { readonly kind: "ready"; readonly backend: string }
  | { readonly kind: "answer"; readonly ticket: number; readonly answer: WhatIfAnswer; readonly backend: string }
  | { readonly kind: "failed"; readonly ticket: number | null; readonly code: string; readonly message: string; readonly details: Readonly<Record<string, unknown>> };
