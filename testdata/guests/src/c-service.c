// A small service in C: a query gets its payload back, but for the paths "count", which counts the events of this instance, "silent",
// which never gets an answer, and "spin", which never ends. An HTTP request gets the count, a connection what it sends.
#include "troupe.h"

static char head[4096], body[MAX_BYTES];

static u32 is(const char *line, const char *name) {
  u32 i = 0;
  for (; name[i]; i++)
    if (line[i] != name[i]) return 0;
  return line[i] == '\n';
}

static u32 decimal(u32 v, char *to) {
  char digits[10];
  u32 n = 0, i = 0;
  do digits[n++] = '0' + v % 10;
  while (v /= 10);
  while (n) to[i++] = digits[--n];
  return i;
}

// Reads all that there is, as far as there is room.
static u32 all(u32 h) {
  u32 have = 0;
  u64 n = 0;
  while (have < sizeof body && !troupe_read(h, -1, body + have, sizeof body - have, &n) && n) have += n;
  return have;
}

__attribute__((export_name("_start"))) void start(void) {
  u32 kind, h, count = 0;
  while (!troupe_accept(-1, &kind, &h)) {
    u64 n = 0;
    count++;
    for (u32 i = 0; i < sizeof head; i++) head[i] = 0;
    if (troupe_head(h, head, sizeof head, &n)) {
      troupe_close(h);
      continue;
    }
    if (kind == EVENT_QUERY) {
      if (is(head, "silent")) continue;
      while (is(head, "spin")) __asm__ volatile("");
      u32 len = is(head, "count") ? decimal(count, body) : all(h);
      troupe_reply(h, 0, body, len);
    } else if (kind == EVENT_HTTP) {
      static const char type[] = "Content-Type: text/plain\r\n";
      troupe_respond(h, 200, type, sizeof type - 1);
      troupe_write(h, -1, body, decimal(count, body), &n);
    } else {
      while (!troupe_read(h, -1, body, sizeof body, &n) && n) {
        u64 done = 0, part = 0;
        for (; done < n && !troupe_write(h, -1, body + done, n - done, &part) && part; done += part) {}
        if (done < n) break;
      }
    }
    troupe_close(h);
  }
}
