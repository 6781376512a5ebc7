// Eight kernels that stress different things; the parameter scales the work, the result is a checksum.
#include "sha256.h"
#define EXPORT(name) __attribute__((export_name(#name))) u64 name(u32 n)
static u8 big[16 << 20];
static double a[256 * 256], b[256 * 256], c[256 * 256];

static u32 fib_(u32 n) { return n < 2 ? n : fib_(n - 1) + fib_(n - 2); }
EXPORT(fib) { return fib_(n); }
EXPORT(sha256_) {
  u8 d[32] = {0};
  for (u32 i = 0; i < n; i++) sha256(d, d, 32);
  return *(u64 *)d;
}
EXPORT(matmul) {
  if (n > 256) n = 256;
  for (u32 i = 0; i < n * n; i++) a[i] = i % 7, b[i] = i % 5;
  for (u32 i = 0; i < n; i++)
    for (u32 j = 0; j < n; j++) {
      double s = 0;
      for (u32 k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
      c[i * n + j] = s;
    }
  return (u64)c[n * n - 1];
}
EXPORT(random_writes) {
  u32 x = 1;
  for (u32 i = 0; i < n; i++) x = x * 1664525 + 1013904223, big[x % sizeof big] += (u8)x;
  return big[x % sizeof big];
}
EXPORT(sequential) {
  u64 s = 0;
  for (u32 r = 0; r < n; r++)
    for (u32 i = 0; i < sizeof big; i++) s += big[i]++;
  return s;
}
EXPORT(xorshift) {
  u64 x = 88172645463325252ull;
  for (u32 i = 0; i < n; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17;
  return x;
}
EXPORT(sieve) {
  u64 count = 0;
  if (n > sizeof big) n = sizeof big;
  for (u32 i = 0; i < n; i++) big[i] = 1;
  for (u32 i = 2; i < n; i++)
    if (big[i]) {
      count++;
      for (u64 j = (u64)i * i; j < n; j += i) big[j] = 0;
    }
  return count;
}
EXPORT(interpreter) {
  static const u8 program[] = {0, 1, 2, 3, 0, 4, 1, 5, 2, 0, 3, 1};
  u64 acc = 1;
  for (u32 pc = 0, i = 0; i < n; i++, pc = (pc + 1) % sizeof program) switch (program[pc]) {
      case 0: acc += i; break;
      case 1: acc ^= acc >> 3; break;
      case 2: acc *= 31; break;
      case 3: acc -= 7; break;
      case 4: acc = acc << 1 | acc >> 63; break;
      default: acc ^= 0x9e3779b97f4a7c15ull;
    }
  return acc;
}
