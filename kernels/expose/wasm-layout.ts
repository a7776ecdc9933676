// Where the WebAssembly kernel finds things: the fields of the context (u32 words from its start) and the kinds of traits. Read by
// expose.as.ts, written by wasm.ts; plain numbers, so that both languages can import it.

/** Words of the context. Pointers are addresses in the kernel's memory. */
export const F_WORLDS = 0;
export const F_PERSONAS = 1;
export const F_STIMULI = 2;
export const F_STEPS = 3;
export const F_SCENARIOS = 4;
export const F_ORDINALS = 5;
export const F_TICKS = 6;
export const F_FACTORS = 7;
/** 1 in profile nest16-2. */
export const F_WIDE = 8;
export const F_GAP = 9;
export const F_GAIN = 10;
export const F_GAIN_RESPONSE = 11;
/** i32. */
export const F_PRESSURE_LEAVE_WEIGHT = 12;
/** 1 when any step's pressureWeight is not 0. */
export const F_HAS_PRESSURE = 13;
export const F_HAS_INFLUENCE = 14;
/** Pairs of numeric slots, tables of level slots, and bytes of a group of 16 agents' codes. */
export const F_PAIRS = 15;
export const F_TABLE_COUNT = 16;
export const F_GROUP_BYTES = 17;
/** u32 counts of one tick: cells x worlds x columns. */
export const F_COUNTS_LENGTH = 18;
export const F_TABLE_LENGTH = 19;

// Tables and plan arrays.
export const F_SIGMOID = 20;
export const F_COARSE = 21;
export const F_COMPRESS = 22;
/** 13 pairs of (address, length) for 4 to 16 bits. */
export const F_BINOMIAL = 23;
export const F_NORMAL = 24;
export const F_CDF = 25;
/** worlds x stimuli x steps rows of PAIRS packed int16 pairs, padded to 16 bytes; ROW_BYTES apart. */
export const F_WEIGHTS = 26;
export const F_ROW_BYTES = 27;
/** worlds x stimuli x steps x TABLE_COUNT x 64 bytes: two byte planes of 16 entries. */
export const F_PLANES = 28;
/** worlds x stimuli x steps x TABLE_LENGTH i32. */
export const F_TABLES = 29;
/** TABLE_COUNT i32: where each table's code 0 lies in a row of tables. */
export const F_TABLE_OFFSET = 30;
/** worlds x stimuli x steps bytes: 1 where the effects of all tables add up to 16 bits and every table has at most 16 codes. */
export const F_NARROW = 31;
export const F_FACTOR_WEIGHTS = 32;
export const F_BIAS = 33;
export const F_LEAVE_BIAS = 34;
export const F_OFFSET = 35;
export const F_PRESSURE_WEIGHT = 36;
export const F_AWARE_WEIGHT = 37;
export const F_SHARE_THRESHOLD = 38;
export const F_DRAW_BITS = 39;
export const F_LEAVE_BITS = 40;
/** scenarios x ticks x ordinals x personas, i16. */
export const F_SCHEDULE = 41;
/** scenarios x stimuli, i32. */
export const F_CELL_OF = 42;
/** One byte a stimulus. */
export const F_CONTACT = 43;
/** personas x PERSONA_WORDS. */
export const F_PERSONA_TABLE = 44;
export const F_SCRATCH = 45;

// One call.
export const F_PERSONA = 46;
export const F_FIRST = 47;
export const F_AGENTS = 48;
export const F_TICK = 49;
export const F_SPAN = 50;
/** Codes of the block's groups, or 0 to draw them. */
export const F_CODES = 51;
/** State planes (scenario by scenario pressure, stage), STATE_STRIDE apart, or 0 when nothing is held. */
export const F_STATE = 52;
export const F_STATE_STRIDE = 53;
/** Output tick by tick: counts, then scenarios x 2 sections; TICK_WORDS u32 apart. */
export const F_COUNTS = 54;
export const F_TICK_WORDS = 55;
/** span x 8 u32. */
export const F_DIGEST = 56;
/** scenarios: warmth i32; aware threshold u32. */
export const F_WARMTH = 57;
export const F_AWARE = 58;
/** scenarios bytes: 1 while nobody of the persona was ever exposed there, so that the state is the initial one. */
export const F_FRESH = 59;
/** scenarios i32: tick x ordinals + ordinal of the persona's last exposure, -1 = none. */
export const F_LAST_EXPOSURE = 60;
/** 16 x 16 bytes: a swizzle for each mask of four words. */
export const F_COMPRESS_WORDS = 61;
/**
 * Trait logits of steps 0 and 1 that a held block keeps, or 0: a byte a chunk (padded to 64 bytes) with a bit for each place that is filled, KEPT_PLACES
 * of step 0 and as many of step 1; then two planes of STATE_STRIDE i32 a place. A byte a stimulus: its place, or KEPT_PLACES and more for one that is computed anew.
 */
export const F_KEPT = 62;
export const F_KEPT_PLACE = 63;
export const KEPT_PLACES = 4;
export const CONTEXT_WORDS = 64;

/** Words of a persona: key (2), worldShift, returnThreshold, traits, pointer to TRAIT_WORDS each, pointer to the copula or 0, pointer to trait keys (2 words a trait word). */
export const PERSONA_WORDS = 8;
/** Words of a trait: kind, levels, cumulative or quantiles, codes or offset, scale, column of its slot, shift of a wide level's code, whether others add to the column. */
export const TRAIT_WORDS = 8;
export const TRAIT_LEVEL = 0;
export const TRAIT_GRID = 1;

// Scratch, bytes from F_SCRATCH: what one chunk of 256 agents needs.
export const S_HIGH = 0;
export const S_LEAVE = 256;
export const S_AWARE = 512;
export const S_WORDS = 768;
/** A byte an agent: steps reached at this exposure; 0x80 when it left. */
export const S_REACHED = 1024;
export const S_LEFT = 1280;
/** Nested thresholds (u32) in the order of a list; a thinned draw (u32) an agent. */
export const S_NESTED = 1536;
export const S_DRAW = 2560;
/** Five lists of agents' places, LIST_BYTES apart. */
export const S_LISTS = 3584;
export const LIST_BYTES = 288;
/** Thinned draws of a group: THIN_PLACES bytes, then THIN_DRAWS u32; of DRAW, then of LEAVE. */
export const S_THIN_DRAW = 5120;
export const S_THIN_LEAVE = 5632;
export const THIN_DRAWS = 64;
/** A byte a place: taken. */
export const S_THIN_MAP = 6144;
/** scenarios u32: ticks not yet applied to the state; scenarios bytes: the chunk's own copy of FRESH. */
export const S_PENDING = 6400;
export const S_FRESH = 10_496;
/** Codes of one chunk: 256 agents x up to 128 bytes. */
export const S_CODES = 11_520;
/** Uniforms of one chunk, then its codes by column: 64 traits x 256 x 2 bytes each. */
export const S_UNIFORMS = 44_288;
export const S_COLUMNS = 77_056;
/** Trait logits of step 0 by stimulus, 256 i32 each, and which stimulus (+ 1) each place holds. */
export const S_LOGITS = 109_824;
export const LOGIT_PLACES = 16;
export const S_LOGIT_TAGS = 126_208;
/** Logits in the order of a list. */
export const S_LIST_LOGITS = 126_272;
/** State of one chunk in every scenario when nothing is held: scenarios x 512 bytes. */
export const S_STATE = 127_360;
