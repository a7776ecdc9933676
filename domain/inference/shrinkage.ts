/**
 * James-Stein estimates of several rates: each observed rate pulled to the pooled one by the share of its variance that
 * sampling explains, 1 - (k - 3) s^2 / sum (p_i - p)^2, never beyond it (the positive part). `exposures` may differ; the
 * pooled binomial variance of each is used. Fewer than 4 rates are returned pooled only as far as 0. Efron and Morris 1975.
 */
export const jamesStein = (responses: ArrayLike<number>, exposures: ArrayLike<number>): Float64Array => {
  const count = responses.length;
  let total = 0, hits = 0;
  for (let i = 0; i < count; i++) {
    total += exposures[i];
    hits += responses[i];
  }
  const pooled = hits / total;
  // In units of each rate's own sampling variance, so that unequal exposures are weighed.
  let scaled = 0;
  for (let i = 0; i < count; i++) scaled += ((responses[i] / exposures[i] - pooled) ** 2 * exposures[i]) / (pooled * (1 - pooled));
  const keep = count > 3 && scaled > 0 ? Math.max(0, 1 - (count - 3) / scaled) : 1;
  return Float64Array.from({ length: count }, (_, i) => pooled + keep * (responses[i] / exposures[i] - pooled));
};
