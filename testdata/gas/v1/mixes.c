// Programs that mix instructions as real ones do, beside the eight kernels of the guests; the parameter scales the work.
typedef unsigned char u8;
typedef unsigned u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(#name))) u64 name(u32 n)

static u32 seed = 1;
static u32 rnd(void) { return (seed = seed * 1664525 + 1013904223) >> 8; }

static double body[5][7] = {{0, 0, 0, 0, 0, 0, 39.4}, {4.8, -1.1, -0.1, 0.6, 2.8, -0.02, 0.03}, {8.3, 4.1, -0.4, -1.0, 1.8, 0.008, 0.01},
                            {12.8, -15.1, -0.2, 1.0, 0.8, -0.01, 0.001}, {15.3, -25.9, 0.1, 0.9, 0.5, -0.03, 0.002}};
EXPORT(nbody) {
  for (u32 s = 0; s < n; s++) {
    for (u32 i = 0; i < 5; i++)
      for (u32 j = i + 1; j < 5; j++) {
        double d[3], sq = 1e-3;
        for (u32 k = 0; k < 3; k++) d[k] = body[i][k] - body[j][k], sq += d[k] * d[k];
        double m = 0.0001 / (sq * __builtin_sqrt(sq));
        for (u32 k = 0; k < 3; k++) body[i][3 + k] -= d[k] * body[j][6] * m, body[j][3 + k] += d[k] * body[i][6] * m;
      }
    for (u32 i = 0; i < 5; i++)
      for (u32 k = 0; k < 3; k++) body[i][k] += 0.0001 * body[i][3 + k];
  }
  return (u64)(body[0][0] * 1e9 + 1e12);
}
EXPORT(mandelbrot) {
  u64 in = 0;
  for (u32 y = 0; y < n; y++)
    for (u32 x = 0; x < n; x++) {
      float cr = 3.0f * (float)x / (float)n - 2, ci = 2.0f * (float)y / (float)n - 1, zr = 0, zi = 0;
      u32 k = 0;
      for (; k < 50 && zr * zr + zi * zi < 4; k++) {
        float t = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci, zr = t;
      }
      in += k;
    }
  return in;
}
static u32 list[1 << 16];
static void sort(u32 *a, int lo, int hi) {
  if (lo >= hi) return;
  u32 p = a[(lo + hi) / 2];
  int i = lo, j = hi;
  while (i <= j) {
    while (a[i] < p) i++;
    while (a[j] > p) j--;
    if (i <= j) { u32 t = a[i]; a[i] = a[j], a[j] = t, i++, j--; }
  }
  sort(a, lo, j), sort(a, i, hi);
}
EXPORT(quicksort) {
  seed = 1;
  for (u32 i = 0; i < n; i++) list[i] = rnd();
  sort(list, 0, (int)n - 1);
  return list[n / 2];
}
EXPORT(gcd) {
  u64 sum = 0;
  seed = 1;
  for (u32 i = 0; i < n; i++) {
    u64 a = (u64)rnd() << 20 | rnd(), b = (u64)rnd() << 19 | 1;
    while (b) { u64 t = a % b; a = b, b = t; }
    sum += a;
  }
  return sum;
}
static u64 keys[1 << 12], values[1 << 12];
EXPORT(hashmap) {
  u64 hits = 0;
  seed = 1;
  for (u32 i = 0; i < 1 << 12; i++) keys[i] = values[i] = 0;
  for (u32 i = 0; i < n; i++) {
    u64 key = rnd() % 2000 + 1, h = key * 0x9e3779b97f4a7c15ull >> 52;
    while (keys[h] && keys[h] != key) h = (h + 1) & 4095;
    keys[h] = key, hits += values[h]++;
  }
  return hits;
}
static u32 big[3][64];
EXPORT(bigmul) {
  for (u32 i = 0; i < 64; i++) big[0][i] = 0xfffffff0 + i, big[1][i] = 0x12345678 * (i + 1);
  for (u32 r = 0; r < n; r++)
    for (u32 i = 0; i < 32; i++) {
      u64 carry = 0;
      for (u32 j = 0; j < 32; j++) carry += (u64)big[0][i] * big[1][j] + big[2][i + j], big[2][i + j] = (u32)carry, carry >>= 32;
      big[2][i + 32] = (u32)carry;
    }
  return big[2][40];
}
static u64 f0(u64 a) { return a + 1; }
static u64 f1(u64 a) { return a ^ a >> 5; }
static u64 f2(u64 a) { return a * 31; }
static u64 f3(u64 a) { return a << 3 | a >> 61; }
static u64 (*const table[4])(u64) = {f0, f1, f2, f3};
EXPORT(dispatch) {
  u64 acc = 1;
  for (u32 i = 0; i < n; i++) acc = table[i * 7 % 5 & 3](acc);
  return acc;
}
static u8 chars[1 << 14];
EXPORT(text) { // numbers into decimal, and back
  u64 sum = 0;
  for (u32 i = 0; i < n; i++) {
    u32 v = i * 2654435761u, len = 0, back = 0;
    do chars[len++] = '0' + v % 10; while (v /= 10);
    while (len) back = back * 10 + (chars[--len] - '0');
    for (u32 k = 0; k < 16; k++) chars[1000 + (i + k) % 4000] = (u8)(back >> k % 4 * 8);
    sum += back;
  }
  return sum;
}
typedef float v4 __attribute__((vector_size(16)));
typedef int i4 __attribute__((vector_size(16)));
static v4 xs[256], ys[256];
EXPORT(saxpy) {
  i4 acc = {0};
  for (u32 i = 0; i < 256; i++) xs[i] = (v4){1, 2, 3, 4}, ys[i] = (v4){(float)i, 1, 1, 1};
  for (u32 r = 0; r < n; r++)
    for (u32 i = 0; i < 256; i++) {
      ys[i] = ys[i] + xs[i] * 0.5f;
      acc += (i4)(ys[i] > xs[i]) & (i4)ys[i];
    }
  return (u64)(u32)(acc[0] + acc[1] + acc[2] + acc[3]);
}
static double u[128], v[128];
EXPORT(spectral) {
  for (u32 i = 0; i < n; i++) u[i] = 1;
  for (u32 r = 0; r < 4; r++) {
    for (u32 i = 0; i < n; i++) {
      v[i] = 0;
      for (u32 j = 0; j < n; j++) v[i] += u[j] / (double)((i + j) * (i + j + 1) / 2 + i + 1);
    }
    for (u32 i = 0; i < n; i++) u[i] = v[i];
  }
  return (u64)(u[0] * 1e9);
}
