// The small call for Extism's way of calling: input and output are fetched and given by calls of the host, eight bytes at a time.
// It answers as small-call does, and writes as many pages.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define HOST(name) __attribute__((import_module("extism:host/env"), import_name(#name)))
HOST(input_length) u64 input_length(void);
HOST(input_load_u64) u64 input_load_u64(u64 at);
HOST(alloc) u64 host_alloc(u64 bytes);
HOST(store_u64) void store_u64(u64 at, u64 value);
HOST(output_set) void output_set(u64 at, u64 bytes);
enum { page = 4096 };
static volatile u8 calls[page] __attribute__((aligned(page)));
static volatile u8 kept[page] __attribute__((aligned(page)));
static u64 in[page / 8] __attribute__((aligned(page)));
static u64 out[page / 8] __attribute__((aligned(page)));

__attribute__((export_name("call"))) u32 call(void) {
  u32 len = (u32)input_length() & ~7u;
  if (len > page) len = page;
  for (u32 i = 0; i < len / 8; i++) in[i] = input_load_u64(i * 8);
  u8 n = ++calls[0];
  kept[n] = n;
  for (u32 i = 0; i < len; i++) ((u8 *)out)[i] = ((u8 *)in)[i] + n;
  u64 block = host_alloc(len);
  for (u32 i = 0; i < len / 8; i++) store_u64(block + i * 8, out[i]);
  output_set(block, len);
  return 0;
}
