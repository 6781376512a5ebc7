// The benchmark: a service that burns gas for a window and says how much it got per second. Its first argument is the window in
// milliseconds, 10,000 without one. The query "state" tells in words how it stands, "score" returns the newest score: the message, in
// SCALE, the signature of this app over it, the worker's key and the app's address, which is what the key "score" keeps, too. A score
// is claimed only if the clock here and the time of the chain's blocks agree: a window begins and ends where a new block is seen, and
// the two may differ by a tenth of it. Without a chain there is work but no score. To make way for paid work is the host's matter.
#include "troupe.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
  burst_ms = 20,        // between two looks at queries, the clock and the chain
  longest_wait = 60000, // milliseconds without a new block: the chain stands still
  message_bytes = 1 + 8 + 8 + 8 + 72,
  score_bytes = message_bytes + 2 + 64 + 32 + 32,
};

static u8 score[score_bytes];
static u32 scored; // there is one
static const char *state = "starting";
static char head[1024];

static i64 now(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

// Milliseconds of the newest block; -1 without a chain.
static i64 block(void) {
  u64 ms = 0, size = 0;
  return troupe_fact(FACT_BLOCK_TIME, &ms, sizeof ms, &size) || size != sizeof ms ? -1 : (i64)ms;
}

static volatile u64 kept;

static void burn(void) {
  u64 x = kept | 88172645463325252ull;
  for (i64 end = now() + burst_ms; now() < end;)
    for (u32 i = 0; i < 200000; i++) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
  kept = x;
}

static u32 path_is(const char *name) {
  size_t n = strlen(name);
  return !memcmp(head, name, n) && head[n] == '\n';
}

// Answers who asks. 1: there is no more to do.
static u32 answer(void) {
  for (;;) {
    u32 kind = 0, h = 0;
    u64 n = 0;
    u32 e = troupe_accept(0, &kind, &h);
    if (e) return e != ERR_PENDING;
    memset(head, 0, sizeof head);
    if (kind == EVENT_QUERY && !troupe_head(h, head, sizeof head - 1, &n)) {
      if (path_is("score") && scored) troupe_reply(h, 0, score, sizeof score);
      else troupe_reply(h, path_is("state") ? 0 : 1, state, strlen(state));
    }
    troupe_close(h);
  }
}

static u8 *put64(u8 *p, u64 v) {
  for (int i = 0; i < 8; i++) *p++ = v >> 8 * i;
  return p;
}

// Burns until end, and then until a block other than the newest one of before is seen, or the chain stands still. Without a chain, or
// if the clock was set back, that is not waited for. 0: there is no more to do.
static u32 until(i64 end, i64 *at, i64 *block_at) {
  i64 begun = now(), seen = block();
  for (;;) {
    burn();
    if (answer()) return 0;
    *at = now();
    *block_at = block();
    if (*at < begun) return 1;
    if (*at < end) seen = *block_at;
    else if (*block_at < 0 || *block_at != seen || *at > end + longest_wait) return 1;
  }
}

static void judge(i64 elapsed, i64 blocks, u64 gas, u64 total, i64 at, const u8 *token) {
  i64 drift = blocks > elapsed ? blocks - elapsed : elapsed - blocks;
  if (elapsed <= 0 || drift > elapsed / 10) {
    scored = 0;
    state = "refused: the clock and the chain's blocks differ";
    return;
  }
  u8 *p = score;
  *p++ = 0; // the first kind of message
  p = put64(p, gas * 1000 / elapsed);
  p = put64(p, total);
  p = put64(p, at / 1000);
  memcpy(p, token, 72);
  p += 72;
  *p++ = (64 << 2 | 1) & 255; // the length of the signature, which takes two bytes
  *p++ = 64 >> 6;
  u64 n = 0;
  scored = !troupe_sign(score, message_bytes, p, 64) && !troupe_fact(FACT_WORKER_KEY, p + 64, 32, &n) &&
           !troupe_fact(FACT_ADDRESS, p + 96, 32, &n);
  state = scored ? "scored" : "refused: it cannot be signed";
  if (scored) troupe_kv_put("score", 5, score, sizeof score); // if it has a space
}

int main(int argc, char **argv) {
  i64 window = argc > 1 ? atoll(argv[1]) : 10000;
  if (window < burst_ms) window = burst_ms;
  u8 token[72];
  i64 at, block_at, from, block_from;
  if (!until(now(), &from, &block_from)) return 0;
  for (;;) {
    u64 before = 0, after = 0;
    u32 blind = troupe_gas_token(&before, token, sizeof token);
    if (!until(from + window, &at, &block_at)) return 0;
    blind |= troupe_gas_token(&after, token, sizeof token);
    if (block_from < 0 || block_at < 0) {
      scored = 0;
      state = "no block time";
    } else if (blind || after < before) {
      scored = 0;
      state = "refused: the gas is not told";
    } else {
      judge(at - from, block_at - block_from, after - before, after, at, token);
    }
    from = at;
    block_from = block_at;
  }
}
