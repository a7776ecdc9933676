/** A device works on one piece while the next is made ready; more would only take memory. */
const OUTSTANDING_MAX = 2;

/**
 * Calls `submit` for 0, 1, .. count - 1 in turn, with the work of at most two of these calls outstanding: each answers with what it
 * started, wrapped so that awaiting the call does not await that. Rejects with the failure of the earliest, after everything that
 * was started has ended.
 */
export async function inFlight(count: number, submit: (index: number) => Promise<{ readonly done: Promise<unknown> }>): Promise<void> {
  const outstanding: Promise<unknown>[] = [];
  try {
    for (let index = 0; index < count; index++) {
      const { done } = await submit(index);
      // It may fail before its turn to be awaited comes.
      done.catch(() => {});
      outstanding.push(done);
      if (outstanding.length === OUTSTANDING_MAX) await outstanding.shift();
    }
    while (outstanding.length > 0) await outstanding.shift();
  } finally {
    await Promise.allSettled(outstanding);
  }
}
