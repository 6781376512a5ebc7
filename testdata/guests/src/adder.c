// A chain of additions in the PVF manner: validate_block(ptr, len) -> (len << 32) | ptr.
//
// Input: parent head {number u64, parent hash 32 bytes, post state 32 bytes}, then block {state u64, add u64}, all little
// endian, 88 bytes. The hash of the state must be the post state of the parent; else the guest traps.
// Output: the new head {number + 1, hash of the parent head, hash of state + add}, 72 bytes.
#include "sha256.h"

__attribute__((import_module("env"), import_name("ext_allocator_malloc_version_1"))) u8 *host_malloc(u32 n);
__attribute__((import_module("env"), import_name("ext_allocator_free_version_1"))) void host_free(u8 *p);

static u64 load(const u8 *p) {
  u64 v = 0;
  for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
  return v;
}
static void store(u8 *p, u64 v) {
  for (int i = 0; i < 8; i++) p[i] = v >> (8 * i);
}

__attribute__((export_name("validate_block"))) u64 validate_block(const u8 *in, u32 n) {
  if (n != 88) __builtin_trap();
  u8 *state = host_malloc(8), *hash = host_malloc(32), *out = host_malloc(72);
  store(state, load(in + 72));
  sha256(hash, state, 8);
  for (int i = 0; i < 32; i++)
    if (hash[i] != in[40 + i]) __builtin_trap();
  store(out, load(in) + 1);
  sha256(out + 8, in, 72);
  store(state, load(in + 72) + load(in + 80));
  sha256(out + 40, state, 8);
  host_free(state);
  host_free(hash);
  return (u64)72 << 32 | (u32)out;
}
