/* kernels/expose/SPEC.md for one persona, one contact stimulus, three steps, 16 slots, dense funnel draws, thinned leaving and worlds
   dealt by groups of 256: the same bits as our kernels. Plain C in passes over 256 agents, each simple enough for the compiler to
   vectorize; lazy where SPEC.md says that it may be. */
#include "peer.h"
#include <math.h>

enum { GROUP = 256, SLOTS = 16, STEPS = 3, COLUMNS = STEPS + 3 };
enum { DRAW_HIGH = 1, DRAW_LOW = 2, LEAVE_HIGH = 3, LEAVE_LOW = 7, LEAVE_COUNT = 11, LEAVE_SPOT = 12 };
/* Places of `numbers`. */
enum { AGENTS, WORLDS, TICKS, KEY0, KEY1, TABLE_LENGTH, GAIN, GAIN_RESPONSE };

static uint32_t *numbers, sigmoid[2049], binomial[17][64];
static int binomial_length[17];
static int8_t *codes;
static int16_t *weights, *table_offset;
static int32_t *tables, *bias, *leave_bias, *offset, *pressure_weight;
static uint8_t *leave_bits, *pressure, *stage;
static uint32_t *counts;

static void make_tables(void) {
  for (int k = 0; k <= 2048; k++) sigmoid[k] = (uint32_t)fmin(4294967295.0, round(4294967296.0 / (1 + exp(-(k * 256 - 0x40000) / 16384.0))));
  for (int bits = 4; bits <= 16; bits++) {
    double p = 1.0 / (1 << bits), mass = 1 - p, sum;
    for (int i = 0; i < 8; i++) mass *= mass;
    sum = mass;
    for (int k = 0; (1 - sum) * 4294967296.0 >= 1; k++) {
      binomial[bits][binomial_length[bits]++] = (uint32_t)floor(sum * 4294967296.0);
      mass *= ((256.0 - k) / (k + 1)) * (p / (1 - p));
      sum += mass;
    }
  }
}

static inline void philox(uint32_t out[4], uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t k0 = numbers[KEY0], k1 = numbers[KEY1];
  for (int round = 0; round < 10; round++) {
    uint64_t a = (uint64_t)0xD2511F53u * c0, b = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(b >> 32) ^ c1 ^ k0, n2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c1 = (uint32_t)b; c3 = (uint32_t)a; c0 = n0; c2 = n2;
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
  out[0] = c0; out[1] = c1; out[2] = c2; out[3] = c3;
}

/* The high bytes of a group's draws: 16 blocks side by side, so that the loop over them becomes vectors. */
static void high_bytes(uint8_t out[GROUP], uint32_t group, uint32_t tick, uint32_t purpose) {
  uint32_t c0[16], c1[16], c2[16], c3[16], k0 = numbers[KEY0], k1 = numbers[KEY1];
  for (int i = 0; i < 16; i++) { c0[i] = group * 16 + (uint32_t)i; c1[i] = tick; c2[i] = 0; c3[i] = purpose; }
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 16; i++) {
      uint64_t a = (uint64_t)0xD2511F53u * c0[i], b = (uint64_t)0xCD9E8D57u * c2[i];
      uint32_t n0 = (uint32_t)(b >> 32) ^ c1[i] ^ k0, n2 = (uint32_t)(a >> 32) ^ c3[i] ^ k1;
      c1[i] = (uint32_t)b; c3[i] = (uint32_t)a; c0[i] = n0; c2[i] = n2;
    }
    k0 += 0x9E3779B9u; k1 += 0xBB67AE85u;
  }
  uint32_t *words = (uint32_t *)out;
  for (int i = 0; i < 16; i++) { words[4 * i] = c0[i]; words[4 * i + 1] = c1[i]; words[4 * i + 2] = c2[i]; words[4 * i + 3] = c3[i]; }
}

static inline uint32_t sig(int32_t x) {
  int32_t y = x < -0x40000 ? 0 : x > 0x3ffff ? 0x7ffff : x + 0x40000;
  uint32_t low = sigmoid[y >> 8];
  return low + (((sigmoid[(y >> 8) + 1] - low) * (uint32_t)(y & 255)) >> 8);
}

/* Trait logit of an agent at one step. */
static inline int32_t logit(const int8_t *code, const int16_t *weight, const int32_t *table, const int *levels, int level_count) {
  int32_t sum = 16;
  for (int slot = 0; slot < SLOTS; slot++) sum += (int16_t)code[slot] * weight[slot];
  sum >>= 5;
  for (int l = 0; l < level_count; l++) sum += table[table_offset[levels[l]] + code[levels[l]]];
  return sum;
}

/* Candidates of a group's thinned leaving draws: place and draw. */
static int leave_candidates(uint32_t group, uint32_t tick, int bits, uint8_t place[64], uint32_t draw[64]) {
  uint32_t w[4];
  philox(w, group >> 2, tick, 0, LEAVE_COUNT);
  int count = 0;
  while (count < binomial_length[bits] && w[group & 3] >= binomial[bits][count]) count++;
  uint8_t taken[GROUP] = {0};
  for (int j = 0; j < count; j++) {
    philox(w, group, tick, (uint32_t)j << 16, LEAVE_SPOT);
    int tries = 0, at;
    do at = (w[1 + (tries >> 2)] >> (8 * (tries & 3))) & 255; while (taken[at] && ++tries < 12);
    while (taken[at]) at = (at + 1) & 255;
    taken[at] = 1;
    place[j] = (uint8_t)at;
    draw[j] = w[0] >> bits;
  }
  return count;
}

static inline int below(uint32_t high, uint32_t q, uint32_t agent, uint32_t tick, uint32_t purpose) {
  uint32_t top = q >> 24, w[4];
  if (high != top) return high < top;
  philox(w, agent, tick, 0, purpose);
  return w[0] >> 8 < (q & 0xffffff);
}

static void live_group(uint32_t group, uint32_t tick, const int *levels, int level_count) {
  uint32_t world = group % numbers[WORLDS], first = group * GROUP, length = numbers[TABLE_LENGTH];
  const int8_t *code = codes + (size_t)first * SLOTS;
  const int16_t *weight = weights + (size_t)world * STEPS * SLOTS;
  const int32_t *table = tables + (size_t)world * STEPS * length;
  uint8_t *p = pressure + first, *s = stage + first;
  uint32_t *count = counts + (size_t)world * COLUMNS;
  int32_t base[STEPS], x[GROUP];
  uint32_t q0[GROUP];
  uint8_t high[GROUP], reached[GROUP];
  for (int k = 0; k < STEPS; k++) base[k] = bias[world * STEPS + (uint32_t)k] + offset[tick * STEPS + (uint32_t)k];

  for (int i = 0; i < GROUP; i++) p[i] = (uint8_t)(p[i] - ((p[i] + 15) >> 4));
  for (int i = 0; i < GROUP; i++) s[i] = (uint8_t)(s[i] + ((s[i] & 0x70) != 0x70 ? 0x10 : 0));
  high_bytes(high, group, tick, DRAW_HIGH);
  for (int i = 0; i < GROUP; i++) x[i] = logit(code + i * SLOTS, weight, table, levels, level_count);
  for (int i = 0; i < GROUP; i++) x[i] += base[0] - p[i] * pressure_weight[0];
  for (int i = 0; i < GROUP; i++) q0[i] = sig(x[i]);

  uint32_t exposures = 0;
  for (int i = 0; i < GROUP; i++) exposures += s[i] < 0x80;
  count[0] += exposures;
  for (int i = 0; i < GROUP; i++) {
    reached[i] = 0;
    if (s[i] >= 0x80 || high[i] > q0[i] >> 24) continue;
    uint32_t q = q0[i], agent = first + (uint32_t)i;
    int k = 0;
    while (below(high[i], q, agent, tick, DRAW_LOW)) {
      count[++k]++;
      if (k == STEPS) break;
      int32_t later = base[k] + logit(code + i * SLOTS, weight + k * SLOTS, table + k * (int)length, levels, level_count) - p[i] * pressure_weight[k];
      q = (uint32_t)(((uint64_t)q * sig(later)) >> 32);
    }
    reached[i] = (uint8_t)k;
  }

  uint8_t left[GROUP] = {0};
  uint32_t leave = sig(leave_bias[world]);
  int bits = leave_bits[world];
  if (bits > 0) {
    uint8_t place[64];
    uint32_t draw[64];
    int found = leave_candidates(group, tick, bits, place, draw);
    for (int j = 0; j < found; j++) left[place[j]] = draw[j] < leave;
  } else {
    uint8_t leave_high[GROUP];
    high_bytes(leave_high, group, tick, LEAVE_HIGH);
    for (int i = 0; i < GROUP; i++) left[i] = leave_high[i] <= leave >> 24 && below(leave_high[i], leave, first + (uint32_t)i, tick, LEAVE_LOW);
  }
  uint32_t gone = 0;
  for (int i = 0; i < GROUP; i++) {
    uint8_t here = s[i] < 0x80, leaves = here & left[i] & (reached[i] < STEPS);
    uint8_t step = (s[i] & 7) > reached[i] ? s[i] & 7 : reached[i];
    uint32_t sum = p[i] + numbers[GAIN] + (reached[i] > 0 ? numbers[GAIN_RESPONSE] : 0);
    gone += leaves;
    p[i] = here ? (uint8_t)(sum > 255 ? 255 : sum) : p[i];
    s[i] = here ? (uint8_t)((s[i] & 0x08) | step | (leaves << 7)) : s[i];
  }
  count[1 + STEPS] += gone;
}

int main(int argc, char **argv) {
  const char *folder = argv[argc - 1];
  numbers = load(folder, "numbers");
  codes = load(folder, "codes");
  weights = load(folder, "weights");
  table_offset = load(folder, "tableOffset");
  tables = load(folder, "tables");
  bias = load(folder, "bias");
  leave_bias = load(folder, "leaveBias");
  leave_bits = load(folder, "leaveBits");
  offset = load(folder, "offset");
  pressure_weight = load(folder, "pressureWeight");
  make_tables();
  uint32_t agents = numbers[AGENTS], worlds = numbers[WORLDS], ticks = numbers[TICKS];
  pressure = aligned_alloc(64, agents);
  stage = aligned_alloc(64, agents);
  counts = malloc(sizeof *counts * worlds * COLUMNS);
  int levels[SLOTS], level_count = 0;
  for (int slot = 0; slot < SLOTS; slot++) if (table_offset[slot] >= 0) levels[level_count++] = slot;
  puts("{\"ready\":true}");
  fflush(stdout);

  char line[16];
  while (fgets(line, sizeof line, stdin)) {
    memset(pressure, 0, agents);
    memset(stage, 0x70, agents);
    memset(counts, 0, sizeof *counts * worlds * COLUMNS);
    double started = now();
    for (uint32_t tick = 0; tick < ticks; tick++) for (uint32_t group = 0; group < agents / GROUP; group++) live_group(group, tick, levels, level_count);
    printf("{\"seconds\":%.9f,\"result\":[", now() - started);
    for (uint32_t i = 0; i < worlds * COLUMNS; i++) printf(i ? ",%u" : "%u", counts[i]);
    puts("]}");
    fflush(stdout);
  }
  return 0;
}
