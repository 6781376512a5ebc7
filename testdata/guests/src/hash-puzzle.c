// run(input, difficulty) returns the smallest counter >= 1 whose SHA-256 of decimal(input) followed by decimal(counter)
// begins with difficulty hex zeros.
#include "sha256.h"

static int decimal(u8 *out, unsigned v) {
  u8 tmp[10];
  int n = 0;
  do tmp[n++] = '0' + v % 10; while (v /= 10);
  for (int i = 0; i < n; i++) out[i] = tmp[n - 1 - i];
  return n;
}

__attribute__((export_name("run"))) int run(int input, int difficulty) {
  u8 text[24], digest[32];
  int at = 0;
  unsigned magnitude = input;
  if (input < 0) { text[at++] = '-'; magnitude = -magnitude; }
  at += decimal(text + at, magnitude);
  for (unsigned counter = 1;; counter++) {
    sha256(digest, text, at + decimal(text + at, counter));
    int zeros = 0;
    while (zeros < 64 && ((digest[zeros / 2] >> (zeros % 2 ? 0 : 4)) & 15) == 0) zeros++;
    if (zeros >= difficulty) return counter;
  }
}
