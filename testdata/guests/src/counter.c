// A command in C that counts its runs in the app's key-value space, and prints the count: for schedules and for queries.
#include "troupe.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  char value[32] = {0};
  u64 size = 0;
  const char *key = argc > 1 ? argv[1] : "count";
  u32 len = 0;
  while (key[len]) len++;
  u32 e = troupe_kv_get(key, len, value, sizeof value - 1, &size);
  if (e && e != ERR_NOT_FOUND) return fprintf(stderr, "kv_get: %u\n", e), 1;
  int n = snprintf(value, sizeof value, "%llu", e ? 1 : strtoull(value, 0, 10) + 1);
  if ((e = troupe_kv_put(key, len, value, n))) return fprintf(stderr, "kv_put: %u\n", e), 1;
  printf("%s\n", value);
  return 0;
}
