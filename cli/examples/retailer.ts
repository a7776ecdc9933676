import { RandomStream } from "@populace/domain";

/**
 * A retailer with KNOWN truth, for the demo and the tests: recipients, what they were sent at random, and what they did.
 * The default generator is NOT of the response model's family: an unobserved trait (bargain hunters), a threshold (above an
 * income a discount repels instead of attracting) and drift over the weeks. With `misspecified: false` it is: logits linear in
 * the same transformed attributes, nothing hidden, nothing drifting; the difference between the two coverages is the price of
 * the model being wrong.
 */
export interface RetailerOptions {
  readonly seed: number;
  readonly misspecified: boolean;
}

/** One person as the generator knows them; `bargainHunter` never reaches a file. */
export interface RetailerPerson {
  readonly recipient: string;
  readonly age: number;
  readonly income: number;
  readonly visits: number;
  readonly region: string;
  readonly loyalty: 0 | 1;
  readonly recencyDays: number;
  readonly bargainHunter: 0 | 1;
}

export interface RetailerRow extends RetailerPerson {
  readonly week: number;
  readonly stimulus: RetailerStimulus;
  readonly visit: 0 | 1;
  readonly basket: 0 | 1;
  readonly purchase: 0 | 1;
  readonly spend: number;
  readonly unsubscribed: 0 | 1;
}

/** Ids, as the schema file names them. */
export const RETAILER_STIMULI = ["no-contact", "newsletter", "discount-20", "sms-reminder"] as const;
export type RetailerStimulus = (typeof RETAILER_STIMULI)[number];
export const RETAILER_STEPS = ["visit", "basket", "purchase"] as const;

/** Weeks of the log that the model is fitted on; later weeks are the future. */
export const LOG_WEEKS = 26;
/** Above this income (a year) a discount repels, in the misspecified generator. */
const INCOME_CUT = 62_000;

interface Group {
  readonly weight: number;
  readonly age: readonly [number, number];
  /** Median income and sigma of its logarithm. */
  readonly income: readonly [number, number];
  readonly visits: number;
  readonly regions: Readonly<Record<string, number>>;
  readonly loyalty: number;
  /** Median days since the last purchase. */
  readonly recency: number;
  readonly hunter: number;
}

/** Four kinds of customers make the attributes; responses never look at the kind itself. */
const GROUPS: readonly Group[] = [
  { weight: 0.3, age: [27, 4.5], income: [27_000, 0.22], visits: 6.5, regions: { city: 0.7, suburb: 0.2, coast: 0.1 }, loyalty: 0.15, recency: 18, hunter: 0.55 },
  { weight: 0.32, age: [41, 6], income: [46_000, 0.25], visits: 3.6, regions: { suburb: 0.65, city: 0.15, rural: 0.2 }, loyalty: 0.5, recency: 35, hunter: 0.35 },
  { weight: 0.16, age: [53, 8], income: [92_000, 0.25], visits: 2.2, regions: { coast: 0.5, city: 0.35, suburb: 0.15 }, loyalty: 0.35, recency: 60, hunter: 0.08 },
  { weight: 0.22, age: [69, 6], income: [29_000, 0.24], visits: 1.6, regions: { rural: 0.6, suburb: 0.25, coast: 0.15 }, loyalty: 0.72, recency: 75, hunter: 0.42 },
];

/** Arrives after launch: students, unlike anyone in the log. */
const STUDENTS: Group = { weight: 1, age: [20, 1.1], income: [8_500, 0.2], visits: 17, regions: { city: 0.95, coast: 0.05 }, loyalty: 0.03, recency: 4, hunter: 0.9 };

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

function pick<T>(random: RandomStream, options: readonly T[], weight: (option: T) => number): T {
  let u = random.uniform() * options.reduce((sum, option) => sum + weight(option), 0);
  for (const option of options) {
    u -= weight(option);
    if (u < 0) return option;
  }
  return options.at(-1)!;
}

function poisson(random: RandomStream, mean: number): number {
  // Knuth 1969: means here stay below 40.
  const floor = Math.exp(-mean);
  let count = 0;
  for (let product = random.uniform(); product > floor; product *= random.uniform()) count += 1;
  return count;
}

function person(random: RandomStream, group: Group, recipient: string): RetailerPerson {
  const region = pick(random, Object.entries(group.regions), ([, share]) => share)[0];
  return {
    recipient, region,
    age: Math.round(Math.min(95, Math.max(18, group.age[0] + group.age[1] * random.normal()))),
    income: Math.round((group.income[0] * Math.exp(group.income[1] * random.normal())) / 100) * 100,
    visits: poisson(random, (group.visits * random.gamma(4)) / 4),
    loyalty: random.uniform() < group.loyalty ? 1 : 0,
    recencyDays: Math.round(group.recency * Math.exp(0.5 * random.normal())),
    bargainHunter: random.uniform() < group.hunter ? 1 : 0,
  };
}

/** People of the retailer; `name` keeps one batch's draws apart from another's. */
export function retailerPeople(options: RetailerOptions, name: string, count: number): readonly RetailerPerson[] {
  const random = RandomStream.of(options.seed, `retailer/people/${name}`);
  return Array.from({ length: count }, (_, index) => person(random, pick(random, GROUPS, (group) => group.weight), `${name}-${index + 1}`));
}

/** Students: the cluster that emerges after launch. */
export function retailerStudents(options: RetailerOptions, name: string, count: number): readonly RetailerPerson[] {
  const random = RandomStream.of(options.seed, `retailer/students/${name}`);
  return Array.from({ length: count }, (_, index) => person(random, STUDENTS, `${name}-${index + 1}`));
}

/** Effects of each stimulus on the logit of visit, basket and purchase. */
const EFFECT: Readonly<Record<RetailerStimulus, readonly [number, number, number]>> = {
  "no-contact": [0, 0, 0],
  newsletter: [0.45, 0.1, 0],
  "discount-20": [0.75, 0.3, 0.25],
  "sms-reminder": [0.6, -0.15, 0.05],
};

/**
 * True probability of each step given the step before it, at a week. Standardized by fixed constants near the population's
 * mean and spread; logarithms where the schema uses log1p.
 */
function conditionalRates(who: RetailerPerson, stimulus: RetailerStimulus, week: number, misspecified: boolean): readonly [number, number, number] {
  const age = (who.age - 44) / 16;
  const income = (Math.log1p(who.income) - 10.6) / 0.5;
  const visits = (Math.log1p(who.visits) - 1.3) / 0.65;
  const recency = (Math.log1p(who.recencyDays) - 3.6) / 0.8;
  const region = { city: 0.15, suburb: 0, coast: 0.1, rural: -0.2 }[who.region] ?? 0;
  const effect = EFFECT[stimulus];
  // A discount moves younger people more: an interaction of a trait with a stimulus, inside the model's family.
  const discount = stimulus === "discount-20" ? -0.25 * age : 0;
  let visit = -1.75 + effect[0] + 0.45 * visits - 0.3 * recency + 0.4 * who.loyalty + region + discount - 0.1 * age;
  const basket = -0.75 + effect[1] + 0.15 * visits + 0.25 * who.loyalty - 0.1 * income;
  let purchase = -0.6 + effect[2] + 0.3 * income + 0.2 * who.loyalty;
  if (misspecified) {
    if (stimulus === "discount-20") {
      visit += who.bargainHunter * 0.7;
      purchase += who.bargainHunter * 0.4;
      if (who.income > INCOME_CUT) {
        visit -= 1.1;
        purchase -= 0.4;
      }
    } else {
      purchase -= who.bargainHunter * 0.25;
    }
    // The appetite for shopping fades over the half-year of the log.
    visit -= 0.2 * Math.min(1, week / LOG_WEEKS);
  }
  return [sigmoid(visit), sigmoid(basket), sigmoid(purchase)];
}

/** True rates of reaching visit, basket and purchase per exposure (each includes the steps before it). */
export function retailerTruth(who: RetailerPerson, stimulus: RetailerStimulus, week: number, options: RetailerOptions): readonly [number, number, number] {
  const [visit, basket, purchase] = conditionalRates(who, stimulus, week, options.misspecified);
  return [visit, visit * basket, visit * basket * purchase];
}

/** Median spend of a purchase, major units. */
const medianSpend = (who: RetailerPerson, stimulus: RetailerStimulus): number =>
  28 * (who.income / 40_000) ** 0.45 * (stimulus === "discount-20" ? 0.86 : 1) * (who.loyalty === 1 ? 1.12 : 1);

/**
 * What happened when each person met one stimulus, assigned at random with equal shares; weeks run evenly from `weekFirst` to
 * `weekLast`.
 */
export function retailerLog(people: readonly RetailerPerson[], name: string, weekFirst: number, weekLast: number, options: RetailerOptions): readonly RetailerRow[] {
  const random = RandomStream.of(options.seed, `retailer/log/${name}`);
  return people.map((who, index) => {
    const week = weekFirst + Math.floor((index * (weekLast - weekFirst + 1)) / people.length);
    const stimulus = RETAILER_STIMULI[random.integer(RETAILER_STIMULI.length)];
    const rates = conditionalRates(who, stimulus, week, options.misspecified);
    const reached = (k: number): boolean => random.uniform() < rates[k];
    const visit = reached(0) ? 1 : 0;
    const basket = visit === 1 && reached(1) ? 1 : 0;
    const purchase = basket === 1 && reached(2) ? 1 : 0;
    const spend = purchase === 1 ? Math.max(1, Math.round(medianSpend(who, stimulus) * Math.exp(0.55 * random.normal()) * 100) / 100) : 0;
    const leaves = random.uniform() < (stimulus === "sms-reminder" ? 0.012 : 0.005);
    return { ...who, week, stimulus, visit, basket, purchase, spend, unsubscribed: stimulus !== "no-contact" && purchase === 0 && leaves ? 1 : 0 };
  });
}

const START_MS = Date.UTC(2023, 0, 2);
const day = (week: number): string => new Date(START_MS + week * 7 * 86_400_000).toISOString().slice(0, 10);

const ATTRIBUTE_HEADER = "recipient,age,income,visits,region,loyalty,recency_days";
const attributeCells = (who: RetailerPerson): string =>
  `${who.recipient},${who.age},${who.income},${who.visits},${who.region},${who.loyalty === 1 ? "yes" : "no"},${who.recencyDays}`;

/** One row in a hundred never agreed to marketing: reading must leave it out. */
const consentCells = (who: RetailerPerson): string => (Number(who.recipient.slice(who.recipient.lastIndexOf("-") + 1)) % 100 === 57 ? "service,2099-12-31" : "marketing,2099-12-31");

/** A campaign log as CSV, the shape that the schema file describes. */
export const retailerLogCsv = (rows: readonly RetailerRow[]): string =>
  `${ATTRIBUTE_HEADER},consent,consent_until,date,stimulus,visit,basket,purchase,spend,unsubscribed\n${rows
    .map((row) => `${attributeCells(row)},${consentCells(row)},${day(row.week)},${row.stimulus},${row.visit},${row.basket},${row.purchase},${row.spend.toFixed(2)},${row.unsubscribed}\n`).join("")}`;

/** Recipients without outcomes as CSV: who may be contacted next. */
export const retailerRecipientsCsv = (people: readonly RetailerPerson[]): string =>
  `${ATTRIBUTE_HEADER},consent,consent_until\n${people.map((who) => `${attributeCells(who)},${consentCells(who)}\n`).join("")}`;

/** First day of the demo's rehearsal of a shock; a tick is a day. */
export const REHEARSAL_START_MS = Date.UTC(2023, 5, 24);

/** A consumer confidence index by month that breaks in July 2023, as CSV: the economic series of the demo. */
export function consumerConfidenceCsv(): string {
  const levels = [100.9, 101.3, 100.8, 101.1, 101.6, 101.2, 100.7, 101.0, 101.4, 101.1, 100.6, 101.2, 101.5, 101.0, 100.8, 101.3, 101.1, 100.7, 97.6];
  return `date,consumer_confidence\n${levels.map((level, month) => `${2022 + Math.floor(month / 12)}-${String((month % 12) + 1).padStart(2, "0")}-01,${level}\n`).join("")}`;
}

const FEED_ITEMS: readonly (readonly [string, string, string])[] = [
  ["hs-101", "Shoppers angry about terrible delivery delays and awful service", "Customers are disappointed and complain about horrible waiting times."],
  ["hs-102", "Consumer confidence collapses as families fear job losses", "A bad month: worries grow, spending is cut, and the mood is gloomy."],
  ["hs-103", "Store closures hurt the high street", "Another sad loss for the town; people fear worse."],
  ["hs-104", "Loyalty members love the new store on the coast", "A wonderful opening day with happy visitors."],
  ["hs-105", "Price rises anger families", "Parents are upset about the painful increase."],
  ["hs-106", "Retailer admits poor service", "A bad failure, said the manager, and an embarrassing mistake."],
  ["hs-107", "Strike threatens deliveries", "Workers protest against bad conditions and an unfair contract."],
  ["hs-101", "Shoppers angry about terrible delivery delays and awful service", "The same report, delivered twice: it counts once."],
];

/** A small RSS feed about the retailer; fictitious, rather worried, with one item delivered twice. */
export const RETAILER_FEED = `<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>High street daily</title><link>https://example.org/</link><description>Retail news</description>
${FEED_ITEMS.map(([guid, title, text]) => `<item><guid isPermaLink="false">${guid}</guid><title>${title}</title><description>${text}</description><pubDate>Fri, 07 Jul 2023 08:00:00 GMT</pubDate></item>`).join("\n")}
</channel></rss>
`;
