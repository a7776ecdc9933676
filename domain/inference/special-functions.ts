/**
 * Special functions of real arguments, checked against mpmath and scipy (special-functions.test.ts holds the tolerances).
 * Written here because jStat 1.9.6, measured on the same numbers, is off by 1e-3 (beta.cdf at Beta(1e7, 1e8)), 1e-6
 * (beta.inv at Beta(1e5, 1e6)), 1e-8 (studentt.inv), and loses the normal tail altogether.
 */

const LOG_SQRT_TWO_PI = 0.9189385332046727418;
const EPSILON = 2.220446049250313e-16;
const TINY = 1e-300;

/** Remainder of Stirling's series: log Gamma(x) - [(x - 1/2) log x - x + log sqrt(2 pi)], for x > 0. Loader (2000). */
const stirlingError = (x: number): number => {
  if (x < 12) return logGammaSmall(x) - ((x - 0.5) * Math.log(x) - x + LOG_SQRT_TWO_PI);
  const y = 1 / (x * x);
  return (
    (1 / 12 - y * (1 / 360 - y * (1 / 1260 - y * (1 / 1680 - y * (1 / 1188 - y * (691 / 360360 - y / 156)))))) / x
  );
};

/** Lanczos (g = 607/128, 15 terms; Godfrey), relative error of Gamma below 1e-14 for x >= 1/2. */
const LANCZOS = [
  0.99999999999999709182, 57.156235665862923517, -59.597960355475491248, 14.136097974741747174, -0.49191381609762019978,
  0.33994649984811888699e-4, 0.46523628927048575665e-4, -0.98374475304879564677e-4, 0.15808870322491248884e-3,
  -0.21026444172410488319e-3, 0.2174396181152126432e-3, -0.16431810653676389022e-3, 0.84418223983852743293e-4,
  -0.2619083840158140867e-4, 0.36899182659531622704e-5,
] as const;

const logGammaSmall = (x: number): number => {
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - logGammaSmall(1 - x);
  const z = x - 1;
  let sum: number = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i] / (z + i);
  const t = z + 607 / 128 + 0.5;
  return LOG_SQRT_TWO_PI + Math.log(sum) + (z + 0.5) * Math.log(t) - t;
};

/** log |Gamma(x)| for x > 0; absolute error below 1e-14 near its zeros 1 and 2, relative 1e-14 elsewhere. NaN for x <= 0. */
export const logGamma = (x: number): number => {
  if (!(x > 0)) return Number.NaN;
  if (x === Infinity) return Infinity;
  if (x === 1 || x === 2) return 0;
  if (x < 12) return logGammaSmall(x);
  return (x - 0.5) * Math.log(x) - x + LOG_SQRT_TWO_PI + stirlingError(x);
};

/** log of the beta function B(a, b), a and b > 0, without cancellation when one of them is large. */
export const logBeta = (a: number, b: number): number => {
  const p = Math.min(a, b);
  const q = Math.max(a, b);
  if (!(p > 0)) return Number.NaN;
  if (q < 12) return logGamma(p) + logGamma(q) - logGamma(p + q);
  const s = p + q;
  if (p >= 12) {
    return (
      LOG_SQRT_TWO_PI - 0.5 * Math.log(q) + (p - 0.5) * Math.log(p / s) + q * Math.log1p(-p / s) +
      stirlingError(p) + stirlingError(q) - stirlingError(s)
    );
  }
  // log Gamma(q) - log Gamma(p + q) by Stirling, the large terms combined before they are rounded.
  return logGamma(p) + (q - 0.5) * Math.log1p(-p / s) - p * Math.log(s) + p + stirlingError(q) - stirlingError(s);
};

/** log of n choose k for real n >= k >= 0. */
export const logChoose = (n: number, k: number): number =>
  k === 0 || k === n ? 0 : -Math.log1p(n) - logBeta(k + 1, n - k + 1);

/** Derivative of log Gamma at x > 0. NaN for x <= 0. */
export const digamma = (x: number): number => {
  if (!(x > 0)) return Number.NaN;
  let result = 0;
  let y = x;
  while (y < 10) {
    result -= 1 / y;
    y += 1;
  }
  const z = 1 / (y * y);
  const series = z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z * (1 / 132 - z * (691 / 32760 - z / 12))))));
  return result + Math.log(y) - 0.5 / y - series;
};

/** Second derivative of log Gamma at x > 0. */
export const trigamma = (x: number): number => {
  if (!(x > 0)) return Number.NaN;
  let result = 0;
  let y = x;
  while (y < 12) {
    result += 1 / (y * y);
    y += 1;
  }
  const z = 1 / (y * y);
  return result + 1 / y + z / 2 + (z / y) * (1 / 6 - z * (1 / 30 - z * (1 / 42 - z * (1 / 30 - z * (5 / 66 - z * (691 / 2730))))));
};

/** log(1 + exp(x)) without overflow. */
export const softplus = (x: number): number => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x)));

/** 1 / (1 + exp(-x)). */
export const logistic = (x: number): number => {
  if (x >= 0) return 1 / (1 + Math.exp(-x));
  const e = Math.exp(x);
  return e / (1 + e);
};

/** log(p / (1 - p)); -Infinity at 0, Infinity at 1. */
export const logit = (p: number): number => Math.log(p) - Math.log1p(-p);

/** Density of the standard normal distribution. */
export const normalDensity = (x: number): number => Math.exp(-0.5 * x * x - LOG_SQRT_TWO_PI);

/** Scaled complementary tail exp(x^2 / 2) * (1 - Phi(x)) for x > 0 by Lentz's continued fraction (x >= 4). */
const millsRatio = (x: number): number => {
  let fraction = x;
  for (let k = 60; k >= 1; k--) fraction = x + k / fraction;
  return 1 / fraction;
};

/** P(Z <= x) of the standard normal, full relative accuracy in the left tail (to x = -38). */
export const normalCdf = (x: number): number => {
  if (Number.isNaN(x)) return Number.NaN;
  if (x > 4) return 1 - normalDensity(x) * millsRatio(x);
  if (x < -4) return x < -39 ? 0 : normalDensity(x) * millsRatio(-x);
  if (x < -1.5) return lowerNormalTail(-x);
  if (x > 1.5) return 1 - lowerNormalTail(x);
  // Phi(x) - 1/2 = phi(x) (x + x^3/3 + x^5/15 + ...), all terms of one sign.
  let term = x;
  let sum = x;
  for (let k = 3; Math.abs(term) > EPSILON * Math.abs(sum); k += 2) {
    term *= (x * x) / k;
    sum += term;
  }
  return 0.5 + normalDensity(x) * sum;
};

/** 1 - Phi(x) for 1.5 <= x <= 4, where the series would cancel: the continued fraction with enough terms. */
const lowerNormalTail = (x: number): number => {
  let fraction = x;
  for (let k = 300; k >= 1; k--) fraction = x + k / fraction;
  return normalDensity(x) / fraction;
};

/** z with Phi(z) = p, for 0 <= p <= 1 (infinite at the ends). Wichura, AS 241 (1988), relative error 1e-15. */
export const normalQuantile = (p: number): number => {
  if (!(p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return -Infinity;
  if (p === 1) return Infinity;
  const q = p - 0.5;
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q;
    return (
      (q *
        (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r + 45921.953931549871457) * r +
          13731.693765509461125) * r + 1971.5909503065514427) * r + 133.14166789178437745) * r + 3.387132872796366608)) /
      (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r + 21213.794301586595867) * r +
        5394.1960214247511077) * r + 687.1870074920579083) * r + 42.313330701600911252) * r + 1)
    );
  }
  let r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p));
  let value: number;
  if (r <= 5) {
    r -= 1.6;
    value =
      (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r + 1.27045825245236838258) * r +
        3.64784832476320460504) * r + 5.7694972214606914055) * r + 4.6303378461565452959) * r + 1.42343711074968357734) /
      (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r + 0.14810397642748007459) * r +
        0.68976733498510000455) * r + 1.6763848301838038494) * r + 2.05319162663775882187) * r + 1);
  } else {
    r -= 5;
    value =
      (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) * r + 0.026532189526576123093) * r +
        0.29656057182850489123) * r + 1.7848265399172913358) * r + 5.4637849111641143699) * r + 6.6579046435011037772) /
      (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) * r + 7.868691311456132591e-4) * r +
        0.0148753612908506148525) * r + 0.13692988092273580531) * r + 0.59983220655588793769) * r + 1);
  }
  return q < 0 ? -value : value;
};

/** x log(x / m) + m - x without cancellation near x = m (Loader's deviance term). */
const devianceTerm = (x: number, m: number): number => {
  const difference = x - m;
  if (Math.abs(difference) < 0.1 * (x + m)) {
    const v = difference / (x + m);
    let sum = difference * v;
    let term = 2 * x * v;
    const square = v * v;
    for (let j = 1; j < 1000; j++) {
      term *= square;
      const next = sum + term / (2 * j + 1);
      if (next === sum) return next;
      sum = next;
    }
    return sum;
  }
  return x * Math.log(x / m) + m - x;
};

/** log of x^a e^-x / Gamma(a + 1), a >= 0, x > 0. */
const logPoissonMass = (a: number, x: number): number => {
  if (a === 0) return -x;
  // Below 1 the direct form is exact enough and Stirling's remainder is not defined well.
  if (a < 1) return a * Math.log(x) - x - logGamma(a + 1);
  return -stirlingError(a) - devianceTerm(a, x) - LOG_SQRT_TWO_PI - 0.5 * Math.log(a);
};

/** Regularized lower incomplete gamma P(a, x), a > 0, x >= 0; relative error 1e-12 for a up to 1e7. */
export const gammaCdf = (a: number, x: number): number => {
  if (!(a > 0) || Number.isNaN(x)) return Number.NaN;
  if (x <= 0) return 0;
  if (x === Infinity) return 1;
  return x < a + 1 ? gammaSeries(a, x) : 1 - gammaFraction(a, x);
};

/** Regularized upper incomplete gamma Q(a, x) = 1 - P(a, x), accurate in the right tail. */
export const gammaTail = (a: number, x: number): number => {
  if (!(a > 0) || Number.isNaN(x)) return Number.NaN;
  if (x <= 0) return 1;
  if (x === Infinity) return 0;
  return x < a + 1 ? 1 - gammaSeries(a, x) : gammaFraction(a, x);
};

const gammaSeries = (a: number, x: number): number => {
  let term = 1;
  let sum = 1;
  for (let k = 1; k < 1e6; k++) {
    term *= x / (a + k);
    sum += term;
    if (term < sum * EPSILON * 0.25) break;
  }
  return Math.exp(logPoissonMass(a, x)) * sum;
};

const gammaFraction = (a: number, x: number): number => {
  let b = x + 1 - a;
  let c = 1 / TINY;
  let d = 1 / b;
  let h = d;
  for (let i = 1; i < 1e6; i++) {
    const an = -i * (i - a);
    b += 2;
    d = an * d + b;
    if (Math.abs(d) < TINY) d = TINY;
    c = b + an / c;
    if (Math.abs(c) < TINY) c = TINY;
    d = 1 / d;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < EPSILON) break;
  }
  return Math.exp(logPoissonMass(a, x)) * a * h;
};

/** log of x^a (1-x)^b / B(a, b), accurate for large a and b; `y` is 1 - x. */
const logBetaFactor = (a: number, b: number, x: number, y: number): number => {
  if (Math.min(a, b) < 1) return a * Math.log(x) + b * (x < 0.5 ? Math.log1p(-x) : Math.log(y)) - logBeta(a, b);
  const n = a + b;
  // a b / (a + b) times the binomial mass of a out of a + b (Loader's saddle-point form).
  return (
    stirlingError(n) - stirlingError(a) - stirlingError(b) - devianceTerm(a, n * x) - devianceTerm(b, n * y) -
    LOG_SQRT_TWO_PI + 0.5 * (Math.log(a) + Math.log(b / n))
  );
};

const betaFraction = (a: number, b: number, x: number): number => {
  const qab = a + b;
  const qap = a + 1;
  const qam = a - 1;
  let c = 1;
  let d = 1 - (qab * x) / qap;
  if (Math.abs(d) < TINY) d = TINY;
  d = 1 / d;
  let h = d;
  for (let m = 1; m < 1e6; m++) {
    const m2 = 2 * m;
    let aa = (m * (b - m) * x) / ((qam + m2) * (a + m2));
    d = 1 + aa * d;
    if (Math.abs(d) < TINY) d = TINY;
    c = 1 + aa / c;
    if (Math.abs(c) < TINY) c = TINY;
    d = 1 / d;
    h *= d * c;
    aa = (-(a + m) * (qab + m) * x) / ((a + m2) * (qap + m2));
    d = 1 + aa * d;
    if (Math.abs(d) < TINY) d = TINY;
    c = 1 + aa / c;
    if (Math.abs(c) < TINY) c = TINY;
    d = 1 / d;
    const delta = d * c;
    h *= delta;
    if (Math.abs(delta - 1) < EPSILON) break;
  }
  return h;
};

/** [I_x(a, b), 1 - I_x(a, b)], whichever is smaller being accurate; `y` is 1 - x. */
const betaTails = (a: number, b: number, x: number, y: number): [number, number] => {
  if (x <= 0) return [0, 1];
  if (y <= 0) return [1, 0];
  const factor = Math.exp(logBetaFactor(a, b, x, y));
  if (x < (a + 1) / (a + b + 2)) {
    const lower = (factor * betaFraction(a, b, x)) / a;
    return [lower, 1 - lower];
  }
  const upper = (factor * betaFraction(b, a, y)) / b;
  return [1 - upper, upper];
};

/** Regularized incomplete beta I_x(a, b), a and b > 0 up to 1e8; relative error 1e-10. 0 below 0, 1 above 1. */
export const betaCdf = (x: number, a: number, b: number): number => {
  if (!(a > 0 && b > 0) || Number.isNaN(x)) return Number.NaN;
  return betaTails(a, b, x, 1 - x)[0];
};

/** 1 - I_x(a, b), accurate in the right tail. */
export const betaTail = (x: number, a: number, b: number): number => {
  if (!(a > 0 && b > 0) || Number.isNaN(x)) return Number.NaN;
  return betaTails(a, b, x, 1 - x)[1];
};

/** log density of Beta(a, b) at x in (0, 1). */
export const betaLogDensity = (x: number, a: number, b: number): number => {
  if (!(x >= 0 && x <= 1)) return -Infinity;
  if (x === 0) return a < 1 ? Infinity : a === 1 ? Math.log(b) : -Infinity;
  if (x === 1) return b < 1 ? Infinity : b === 1 ? Math.log(a) : -Infinity;
  return logBetaFactor(a, b, x, 1 - x) - Math.log(x) - Math.log1p(-x);
};

/**
 * x with I_x(a, b) = p. Safeguarded Newton on the logit of x, so that quantiles near 0 keep their relative accuracy
 * (1e-10 down to x = 1e-300; below that 0).
 */
export const betaQuantile = (p: number, a: number, b: number): number => {
  if (!(a > 0 && b > 0 && p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0 || p === 1) return p;
  // Solve in the tail that is the smaller one at the solution; both sides live on the logit scale.
  const mean = a / (a + b);
  let low = -700;
  let high = 700;
  let t = Math.min(Math.max(logit(mean) + normalQuantile(p) * Math.sqrt(Math.min(1 / a + 1 / b, 1e4)), -690), 690);
  for (let i = 0; i < 200; i++) {
    const x = logistic(t);
    const y = logistic(-t);
    const [lower, upper] = betaTails(a, b, x, y);
    const useLower = p < 0.5;
    const value = useLower ? lower : upper;
    const goal = useLower ? p : 1 - p;
    const excess = useLower ? lower - p : 1 - p - upper;
    if (excess > 0) high = t;
    else low = t;
    if (excess === 0) return x;
    // d log I / dt = factor / I on the logit scale; Newton on the log is close to linear in both tails.
    const slope = Math.exp(logBetaFactor(a, b, x, y)) / value;
    let step = useLower ? -(Math.log(value) - Math.log(goal)) / slope : (Math.log(value) - Math.log(goal)) / slope;
    if (!Number.isFinite(step)) step = 0;
    let next = t + step;
    if (step === 0 || !(next > low && next < high)) next = (low + high) / 2;
    if (Math.abs(next - t) <= 4e-15 * Math.max(1, Math.abs(t)) || high - low < 1e-15) return logistic(next);
    t = next;
  }
  return logistic(t);
};

/** x with P(a, x) = p for the unit-rate gamma distribution (divide by the rate). Safeguarded Newton on log x. */
export const gammaQuantile = (p: number, a: number): number => {
  if (!(a > 0 && p >= 0 && p <= 1)) return Number.NaN;
  if (p === 0) return 0;
  if (p === 1) return Infinity;
  const z = normalQuantile(p);
  // Wilson-Hilferty for moderate shapes, the leading power of the series for small ones.
  const cube = 1 - 1 / (9 * a) + z / (3 * Math.sqrt(a));
  let t = a > 0.5 && cube > 0.1 ? Math.log(a) + 3 * Math.log(cube) : (Math.log(p) + logGamma(a + 1)) / a;
  let low = -740;
  let high = Math.log(a + 50 * Math.sqrt(a) + 800);
  t = Math.min(Math.max(t, low + 1), high - 1e-9);
  const useLower = p < 0.5;
  for (let i = 0; i < 200; i++) {
    const x = Math.exp(t);
    const value = useLower ? gammaCdf(a, x) : gammaTail(a, x);
    const goal = useLower ? p : 1 - p;
    if (value === goal) return x;
    if (useLower ? value > goal : value < goal) high = t;
    else low = t;
    const slope = Math.exp(logPoissonMass(a, x)) * a / value;
    let step = (useLower ? -1 : 1) * (Math.log(value) - Math.log(goal)) / slope;
    if (!Number.isFinite(step)) step = 0;
    let next = t + step;
    if (step === 0 || !(next > low && next < high)) next = (low + high) / 2;
    if (Math.abs(next - t) <= 2e-16 * Math.max(1, Math.abs(t)) || high - low < 1e-16) return Math.exp(next);
    t = next;
  }
  return Math.exp(t);
};

/** P(X >= x) of the chi-square distribution with `degrees` degrees of freedom. */
export const chiSquareTail = (x: number, degrees: number): number => gammaTail(degrees / 2, x / 2);

/** P(T <= x) of Student's t with `degrees` > 0 degrees of freedom. */
export const studentCdf = (x: number, degrees: number): number => {
  const square = x * x;
  const tail = 0.5 * betaTails(degrees / 2, 0.5, degrees / (degrees + square), square / (degrees + square))[0];
  return x > 0 ? 1 - tail : tail;
};

/** t with P(T <= t) = p of Student's t with `degrees` degrees of freedom. */
export const studentQuantile = (p: number, degrees: number): number => {
  if (!(p >= 0 && p <= 1 && degrees > 0)) return Number.NaN;
  if (p === 0.5) return 0;
  const tail = 2 * Math.min(p, 1 - p);
  const x = betaQuantile(tail, degrees / 2, 0.5);
  const size = x > 0.5 ? Math.sqrt((degrees * betaQuantile(1 - tail, 0.5, degrees / 2)) / x) : Math.sqrt((degrees * (1 - x)) / x);
  return p < 0.5 ? -size : size;
};
