// A handler in C: a fresh state for each request, and no more work than a response needs. A query gets its payload back.
#include "troupe.h"

static u32 count;
static char out[256] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 16\r\n\r\nhello from C, 0\n";

__attribute__((export_name("http"))) u64 http(const char *in, u32 len) {
  u32 n = 0;
  while (out[n]) n++;
  out[n - 2] = '0' + ++count % 10;
  return troupe_result(out, n);
}

// path, newline, origin, newline, payload
__attribute__((export_name("query"))) u64 query(const char *in, u32 len) {
  u32 i = 0;
  for (u32 lines = 0; i < len && lines < 2; i++) lines += in[i] == '\n';
  return troupe_result(in + i, len - i);
}
