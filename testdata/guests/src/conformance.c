// A service that calls every function of troupe_v1 with right and with wrong arguments. The query conformance/NAME runs the checks of
// one function, conformance/list names them, and each check is a line: "NAME WHAT: ok", "NAME WHAT: got X want Y", or "NAME WHAT:
// skipped" where the deployment lacks what it takes. An HTTP request runs the checks of responses, which the query conformance/http
// tells afterwards. The manifest grants a key-value space, a channel "chan", a channel "send-only" of which it may only send, and a
// topic "topic". The config has lines, all of which may be missing: blob=HASH, echo=ADDRESS of what echoes, http=URL of what answers
// 200, listen=ADDRESS within the granted range.
#include "troupe.h"

enum { text_room = 32 << 10, bad = 0xfffffff0, nobody = 999999 };
static char text[text_room], http_text[4096], config[4096], head[8192], big[MAX_BYTES + 8192];
static u32 len, http_len;
static u32 self, before; // the handle of this query, and that of the last one
static const char *function;

static u32 size_of(const char *s) {
  u32 n = 0;
  while (s[n]) n++;
  return n;
}
#define S(s) (s), size_of(s)
#define BAD ((void *)bad)

static void put(const char *s) {
  for (; *s && len < text_room - 1; s++) text[len++] = *s;
}

static void number(u64 v) {
  char digits[21] = {0};
  u32 n = 20;
  do digits[--n] = '0' + v % 10;
  while (v /= 10);
  put(digits + n);
}

static void begin(const char *what) {
  put(function);
  put(" ");
  put(what);
  put(": ");
}

static void same(const char *what, u64 got, u64 want) {
  begin(what);
  if (got == want) {
    put("ok\n");
    return;
  }
  put("got ");
  number(got);
  put(" want ");
  number(want);
  put("\n");
}

// Where the module leaves open which of two errors it is.
static void either(const char *what, u32 got, u32 a, u32 b) { same(what, got, got == b ? b : a); }

static void skip(const char *what) {
  begin(what);
  put("skipped\n");
}

static u32 starts(const char *s, const char *with) {
  for (; *with; s++, with++)
    if (*s != *with) return 0;
  return 1;
}

// Finds a line of the config, and ends it by a NUL; empty without one.
static const char *setting(const char *name) {
  u64 n = 0;
  for (u32 i = 0; i < sizeof config; i++) config[i] = 0;
  if (troupe_fact(FACT_CONFIG, config, sizeof config - 1, &n)) return "";
  for (char *p = config; *p;) {
    char *end = p;
    while (*end && *end != '\n') end++;
    char *next = *end ? end + 1 : end;
    *end = 0;
    if (starts(p, name)) return p + size_of(name);
    p = next;
  }
  return "";
}

static u32 timer(i64 ms) {
  u32 h = 0;
  same("a timer to check with", troupe_timer(ms, &h), 0);
  return h;
}

static void check_log(void) {
  same("level 1", troupe_log(1, S("an error")), 0);
  same("level 5", troupe_log(5, S("a trace")), 0);
  same("nothing", troupe_log(3, "", 0), 0);
  same("level 0", troupe_log(0, S("x")), ERR_PARAM);
  same("level 6", troupe_log(6, S("x")), ERR_PARAM);
  same("bad pointer", troupe_log(3, BAD, 64), ERR_ADDRESS);
  same("too long", troupe_log(3, big, MAX_BYTES + 1), ERR_PARAM);
}

static void check_fact(void) {
  u64 n = 0;
  char b[64];
  static const u8 sizes[] = {0, 32, 32, 32, 32, 8};
  static const char *names[] = {"", "address", "app session", "worker key", "worker session", "instance"};
  for (u32 i = FACT_ADDRESS; i <= FACT_INSTANCE; i++) {
    same(names[i], troupe_fact(i, b, sizeof b, &n), 0);
    same("size of that", n, sizes[i]);
  }
  same("label", troupe_fact(FACT_LABEL, b, sizeof b, &n), 0);
  same("config", troupe_fact(FACT_CONFIG, b, sizeof b, &n), 0);
  same("storage", troupe_fact(FACT_STORAGE, b, sizeof b, &n), 0);
  same("size of storage", n, 16);
  either("block time", troupe_fact(FACT_BLOCK_TIME, b, sizeof b, &n), 0, ERR_NOT_FOUND);
  b[1] = 'x';
  same("room for less", troupe_fact(FACT_ADDRESS, b, 1, &n), 0);
  same("size of all", n, 32);
  same("no byte too many", b[1], 'x');
  same("fact 0", troupe_fact(0, b, sizeof b, &n), ERR_PARAM);
  same("fact 99", troupe_fact(99, b, sizeof b, &n), ERR_PARAM);
  same("bad buffer", troupe_fact(FACT_LABEL, BAD, 64, &n), ERR_ADDRESS);
  same("bad size", troupe_fact(FACT_LABEL, b, sizeof b, BAD), ERR_ADDRESS);
}

static void check_blob_read(void) {
  u64 n = 0, first = 0;
  const char *none = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
  either("not in the manifest", troupe_blob_read(S(none), 0, big, 16, &n), ERR_FORBIDDEN, ERR_NOT_FOUND);
  either("no hash", troupe_blob_read(S("x"), 0, big, 16, &n), ERR_FORBIDDEN, ERR_PARAM);
  same("bad pointer", troupe_blob_read(BAD, 64, 0, big, 16, &n), ERR_ADDRESS);
  const char *hash = setting("blob=");
  if (!*hash) return skip("a blob");
  same("a blob", troupe_blob_read(S(hash), 0, big, 16, &first), 0);
  same("has bytes", first > 0, 1);
  same("its end", troupe_blob_read(S(hash), first, big, 16, &n), 0);
  same("size at its end", n, first);
  same("bad buffer", troupe_blob_read(S(hash), 0, BAD, 64, &n), ERR_ADDRESS);
}

static void check_kv_get(void) {
  u64 n = 0;
  char b[8] = {0};
  same("a value to get", troupe_kv_put(S("get"), S("value")), 0);
  same("a value", troupe_kv_get(S("get"), b, sizeof b, &n), 0);
  same("size", n, 5);
  same("first byte", b[0], 'v');
  b[1] = 0;
  same("room for less", troupe_kv_get(S("get"), b, 1, &n), 0);
  same("size of all", n, 5);
  same("no byte too many", b[1], 0);
  same("not there", troupe_kv_get(S("not there"), b, sizeof b, &n), ERR_NOT_FOUND);
  same("no key", troupe_kv_get("", 0, b, sizeof b, &n), ERR_PARAM);
  same("long key", troupe_kv_get(big, MAX_KEY + 1, b, sizeof b, &n), ERR_PARAM);
  same("bad key", troupe_kv_get(BAD, 64, b, sizeof b, &n), ERR_ADDRESS);
  same("bad buffer", troupe_kv_get(S("get"), BAD, 64, &n), ERR_ADDRESS);
}

static void check_kv_put(void) {
  same("a value", troupe_kv_put(S("put"), S("value")), 0);
  same("nothing", troupe_kv_put(S("put"), "", 0), 0);
  same("64 KiB", troupe_kv_put(S("put"), big, MAX_KV_VALUE), 0);
  same("64 KiB and one", troupe_kv_put(S("put"), big, MAX_KV_VALUE + 1), ERR_PARAM);
  same("no key", troupe_kv_put("", 0, S("value")), ERR_PARAM);
  same("long key", troupe_kv_put(big, MAX_KEY + 1, S("value")), ERR_PARAM);
  same("bad key", troupe_kv_put(BAD, 64, S("value")), ERR_ADDRESS);
  same("bad value", troupe_kv_put(S("put"), BAD, 64), ERR_ADDRESS);
  same("clean up", troupe_kv_delete(S("put")), 0);
}

static void check_kv_delete(void) {
  same("a value to delete", troupe_kv_put(S("delete"), S("value")), 0);
  same("a value", troupe_kv_delete(S("delete")), 0);
  same("again", troupe_kv_delete(S("delete")), ERR_NOT_FOUND);
  same("no key", troupe_kv_delete("", 0), ERR_PARAM);
  same("bad key", troupe_kv_delete(BAD, 64), ERR_ADDRESS);
}

static void check_kv_list(void) {
  u64 n = 0;
  char b[32];
  same("a key", troupe_kv_put(S("list/a"), S("1")), 0);
  same("another key", troupe_kv_put(S("list/b"), S("2")), 0);
  same("both", troupe_kv_list(S("list/"), "", 0, b, sizeof b, &n), 0);
  same("bytes of both", n, 14);
  same("order", b[5] == 'a' && b[6] == 0 && b[12] == 'b' && b[13] == 0, 1);
  same("behind one", troupe_kv_list(S("list/"), S("list/a"), b, sizeof b, &n), 0);
  same("bytes of one", n, 7);
  same("room for one", troupe_kv_list(S("list/"), "", 0, b, 8, &n), 0);
  same("bytes of the first", n, 7);
  same("the end", troupe_kv_list(S("list/"), S("list/b"), b, sizeof b, &n), 0);
  same("bytes of none", n, 0);
  same("bad prefix", troupe_kv_list(BAD, 64, "", 0, b, sizeof b, &n), ERR_ADDRESS);
  same("bad buffer", troupe_kv_list(S("list/"), "", 0, BAD, 64, &n), ERR_ADDRESS);
  troupe_kv_delete(S("list/a"));
  troupe_kv_delete(S("list/b"));
}

static void check_sign(void) {
  u8 b[64] = {0};
  same("data", troupe_sign(S("data"), b, 64), 0);
  u32 bits = 0;
  for (u32 i = 0; i < 64; i++) bits |= b[i];
  same("a signature", bits != 0, 1);
  same("room for less", troupe_sign(S("data"), b, 63), ERR_PARAM);
  same("bad pointer", troupe_sign(BAD, 64, b, 64), ERR_ADDRESS);
  same("bad buffer", troupe_sign(S("data"), BAD, 64), ERR_ADDRESS);
}

static void check_derive_secret(void) {
  u8 a[64] = {0}, b[64] = {0};
  u32 differ = 0;
  same("a path", troupe_derive_secret(S("path"), a, 64), 0);
  same("again", troupe_derive_secret(S("path"), b, 64), 0);
  for (u32 i = 0; i < 64; i++) differ |= a[i] ^ b[i];
  same("the same", differ, 0);
  same("another", troupe_derive_secret(S("another"), b, 64), 0);
  for (u32 i = 0; i < 64; i++) differ |= a[i] ^ b[i];
  same("is another", differ != 0, 1);
  same("256 bytes", troupe_derive_secret(big, 256, b, 64), 0);
  same("257 bytes", troupe_derive_secret(big, 257, b, 64), ERR_PARAM);
  same("room for less", troupe_derive_secret(S("path"), b, 63), ERR_PARAM);
  same("bad path", troupe_derive_secret(BAD, 64, b, 64), ERR_ADDRESS);
}

static void check_tip(void) {
  same("seven", troupe_tip(7), 0);
  same("nothing", troupe_tip(0), 0);
}

static void check_gas_token(void) {
  u64 first = 0, second = 0, a, b;
  u8 one[72], two[72];
  same("a token", troupe_gas_token(&first, one, 72), 0);
  same("another", troupe_gas_token(&second, two, 72), 0);
  a = *(volatile u64 *)one;
  b = *(volatile u64 *)two;
  same("number goes up", b > a, 1);
  same("gas does not go down", second >= first, 1);
  same("room for less", troupe_gas_token(&first, one, 71), ERR_PARAM);
  same("bad buffer", troupe_gas_token(&first, BAD, 72), ERR_ADDRESS);
}

static void check_gas_left(void) {
  u64 a = 0, b = 0;
  same("gas", troupe_gas_left(&a), 0);
  same("again", troupe_gas_left(&b), 0);
  same("less, or without limit", b < a || (a == b && ~a == 0), 1);
  same("bad pointer", troupe_gas_left((u64 *)0xfffffffc), ERR_ADDRESS);
}

static void check_quote(void) {
  u64 n;
  same("data", troupe_quote(S("data"), big, 64, &n), ERR_UNSUPPORTED);
  same("bad pointer", troupe_quote(BAD, 64, big, 64, &n), ERR_ADDRESS);
}

static void check_accept(void) {
  u32 kind, h;
  same("nothing there", troupe_accept(0, &kind, &h), ERR_PENDING);
  same("not within a millisecond", troupe_accept(1, &kind, &h), ERR_PENDING);
  same("bad pointer", troupe_accept(0, BAD, &h), ERR_ADDRESS);
}

static void check_head(void) {
  u64 n = 0, all = 0;
  char b[8] = {0};
  same("all", troupe_head(self, head, sizeof head, &all), 0);
  same("first byte", head[0], 'c');
  same("room for one", troupe_head(self, b, 1, &n), 0);
  same("size of all", n, all);
  same("no byte too many", b[1], 0);
  same("nobody's handle", troupe_head(nobody, b, sizeof b, &n), ERR_NOT_FOUND);
  same("bad buffer", troupe_head(self, BAD, 64, &n), ERR_ADDRESS);
  u32 t = timer(1000);
  same("of a timer", troupe_head(t, b, sizeof b, &n), ERR_PARAM);
  troupe_close(t);
}

static void check_read(void) {
  u64 n = 0;
  u32 e, more = 64;
  while (!(e = troupe_read(self, 1000, big, 4096, &n)) && n && more--) {}
  same("to the end", e, ERR_END);
  same("behind the end", troupe_read(self, 0, big, 16, &n), ERR_END);
  same("nobody's handle", troupe_read(nobody, 0, big, 16, &n), ERR_NOT_FOUND);
  same("bad buffer", troupe_read(self, 0, BAD, 64, &n), ERR_ADDRESS);
  u32 t = timer(60000);
  same("of a timer not due", troupe_read(t, 1, big, 16, &n), ERR_PENDING);
  troupe_close(t);
}

static void check_write(void) {
  u64 n;
  same("to a query", troupe_write(self, 0, S("write in front of the reply: ok\n"), &n), 0);
  same("written", n, 32);
  same("nothing to a query", troupe_write(self, 0, "", 0, &n), 0);
  if (before) either("after the reply", troupe_write(before, 0, S("x"), &n), ERR_CONDITION, ERR_NOT_FOUND);
  same("nobody's handle", troupe_write(nobody, 0, S("x"), &n), ERR_NOT_FOUND);
  same("bad pointer", troupe_write(self, 0, BAD, 64, &n), ERR_ADDRESS);
  same("too long", troupe_write(self, 0, big, MAX_BYTES + 1, &n), ERR_PARAM);
}

static void check_respond(void) {
  either("to a query", troupe_respond(self, 200, "", 0), ERR_CONDITION, ERR_PARAM);
  same("nobody's handle", troupe_respond(nobody, 200, "", 0), ERR_NOT_FOUND);
  same("bad pointer", troupe_respond(self, 200, BAD, 64), ERR_ADDRESS);
}

static void check_reply(void) {
  same("nobody's handle", troupe_reply(nobody, 0, S("x")), ERR_NOT_FOUND);
  same("bad pointer", troupe_reply(self, 0, BAD, 64), ERR_ADDRESS);
  same("too long", troupe_reply(self, 0, big, MAX_BYTES + 1), ERR_PARAM);
  u32 t = timer(1000);
  same("of a timer", troupe_reply(t, 0, S("x")), ERR_PARAM);
  troupe_close(t);
  if (!before) return skip("twice"); // the first query
  either("twice", troupe_reply(before, 0, S("x")), ERR_CONDITION, ERR_NOT_FOUND);
}

static void check_shutdown(void) {
  either("of a query", troupe_shutdown(self), ERR_CONDITION, ERR_PARAM);
  same("nobody's handle", troupe_shutdown(nobody), ERR_NOT_FOUND);
}

static void check_close(void) {
  u32 t = timer(1000);
  same("a timer", troupe_close(t), 0);
  same("again", troupe_close(t), ERR_NOT_FOUND);
  same("nobody's handle", troupe_close(nobody), ERR_NOT_FOUND);
}

static void check_poll(void) {
  u32 index = 9, list[2] = {0, 0};
  same("no event", troupe_poll(list, 4, 0, &index), ERR_PENDING);
  list[1] = timer(1);
  same("a timer", troupe_poll(list, 8, 5000, &index), 0);
  same("its index", index, 1);
  troupe_close(list[1]);
  same("a closed one", troupe_poll(list, 8, 0, &index), ERR_NOT_FOUND);
  same("none", troupe_poll(list, 0, 0, &index), ERR_PARAM);
  same("half of one", troupe_poll(list, 6, 0, &index), ERR_PARAM);
  same("257", troupe_poll(big, 257 * 4, 0, &index), ERR_PARAM);
  same("bad pointer", troupe_poll(BAD, 64, 0, &index), ERR_ADDRESS);
}

static void check_timer(void) {
  u64 n;
  u32 h = 0;
  same("of a millisecond", troupe_timer(1, &h), 0);
  same("is due", troupe_read(h, 5000, big, 16, &n), 0);
  same("once", troupe_read(h, 0, big, 16, &n), ERR_PENDING);
  same("close", troupe_close(h), 0);
  same("before now", troupe_timer(-1, &h), ERR_PARAM);
  same("bad pointer", troupe_timer(1, (u32 *)0xfffffffe), ERR_ADDRESS);
}

static void check_timer_reset(void) {
  u64 n;
  u32 h = timer(60000);
  same("to a millisecond", troupe_timer_reset(h, 1), 0);
  same("is due", troupe_read(h, 5000, big, 16, &n), 0);
  same("to later", troupe_timer_reset(h, 60000), 0);
  same("is not due", troupe_read(h, 1, big, 16, &n), ERR_PENDING);
  same("before now", troupe_timer_reset(h, -1), ERR_PARAM);
  troupe_close(h);
  same("closed", troupe_timer_reset(h, 1), ERR_NOT_FOUND);
  same("of a query", troupe_timer_reset(self, 1), ERR_PARAM);
}

static void check_lock(void) {
  u32 h = 0, other = 0;
  same("free", troupe_lock(S("a lock"), 0, &h), 0);
  same("twice", troupe_lock(S("a lock"), 0, &other), ERR_EXISTS);
  same("another", troupe_lock(S("another lock"), 0, &other), 0);
  same("unlock", troupe_close(h), 0);
  same("unlock another", troupe_close(other), 0);
  same("free again", troupe_lock(S("a lock"), 0, &h), 0);
  same("unlock again", troupe_close(h), 0);
  same("no path", troupe_lock("", 0, 0, &h), ERR_PARAM);
  same("long path", troupe_lock(big, MAX_KEY + 1, 0, &h), ERR_PARAM);
  same("bad path", troupe_lock(BAD, 64, 0, &h), ERR_ADDRESS);
}

static void check_connect(void) {
  u32 h = 0;
  u64 n = 0;
  same("not granted", troupe_connect(S("203.0.113.1:9"), 0, 1000, &h), ERR_FORBIDDEN);
  same("no port", troupe_connect(S("example.org"), 0, 1000, &h), ERR_PARAM);
  same("tls 2", troupe_connect(S("203.0.113.1:9"), 2, 1000, &h), ERR_PARAM);
  same("bad pointer", troupe_connect(BAD, 64, 0, 1000, &h), ERR_ADDRESS);
  const char *to = setting("echo=");
  if (!*to) return skip("echo");
  same("echo", troupe_connect(S(to), 0, 5000, &h), 0);
  same("write", troupe_write(h, 5000, S("ping"), &n), 0);
  same("written", n, 4);
  same("shutdown", troupe_shutdown(h), 0);
  same("read", troupe_read(h, 5000, big, 16, &n), 0);
  same("read back", big[0], 'p');
  u32 e, more = 8;
  while (!(e = troupe_read(h, 5000, big, 16, &n)) && more--) {}
  same("the end", e, ERR_END);
  same("close", troupe_close(h), 0);
}

static void check_listen(void) {
  u32 h = 0;
  same("out of range", troupe_listen(S(":1"), &h), ERR_FORBIDDEN);
  same("no address", troupe_listen(S("nowhere"), &h), ERR_PARAM);
  same("bad pointer", troupe_listen(BAD, 64, &h), ERR_ADDRESS);
  const char *on = setting("listen=");
  if (!*on) return skip("within the range");
  same("within the range", troupe_listen(S(on), &h), 0);
  same("close", troupe_close(h), 0);
}

static void check_conn_accept(void) {
  u32 h = 0, c = 0;
  u64 n = 0;
  same("nobody's handle", troupe_conn_accept(nobody, 0, &c, head, sizeof head, &n), ERR_NOT_FOUND);
  same("of a query", troupe_conn_accept(self, 0, &c, head, sizeof head, &n), ERR_PARAM);
  same("bad buffer", troupe_conn_accept(self, 0, &c, BAD, 64, &n), ERR_ADDRESS);
  const char *on = setting("listen=");
  if (!*on) return skip("nobody there");
  same("a listener", troupe_listen(S(on), &h), 0);
  same("nobody there", troupe_conn_accept(h, 1, &c, head, sizeof head, &n), ERR_PENDING);
  same("close", troupe_close(h), 0);
}

static void check_fetch(void) {
  u32 h = 0, e, more = 64;
  u64 n = 0;
  same("not granted", troupe_fetch(S("GET http://203.0.113.1/ HTTP/1.1\r\n\r\n"), 1000, &h), ERR_FORBIDDEN);
  either("no request", troupe_fetch(S("hello"), 1000, &h), ERR_ENCODING, ERR_PARAM);
  either("no URL", troupe_fetch(S("GET / HTTP/1.1\r\n\r\n"), 1000, &h), ERR_ENCODING, ERR_PARAM);
  same("bad pointer", troupe_fetch(BAD, 64, 1000, &h), ERR_ADDRESS);
  const char *url = setting("http=");
  if (!*url) return skip("a page");
  u32 at = 0;
  for (const char *s = "GET "; *s;) big[at++] = *s++;
  for (const char *s = url; *s;) big[at++] = *s++;
  for (const char *s = " HTTP/1.1\r\n\r\n"; *s;) big[at++] = *s++;
  same("a page", troupe_fetch(big, at, 5000, &h), 0);
  same("head", troupe_head(h, head, sizeof head, &n), 0);
  same("status 200", head[9] == '2' && head[10] == '0' && head[11] == '0', 1);
  while (!(e = troupe_read(h, 5000, big, 4096, &n)) && more--) {}
  same("to the end", e, ERR_END);
  same("close", troupe_close(h), 0);
}

static void check_grant(void) {
  u32 h = 0;
  same("a channel", troupe_grant(S("chan"), &h), 0);
  same("give it back", troupe_close(h), 0);
  same("a topic", troupe_grant(S("topic"), &h), 0);
  same("give that back", troupe_close(h), 0);
  either("not granted", troupe_grant(S("not granted"), &h), ERR_FORBIDDEN, ERR_NOT_FOUND);
  same("bad pointer", troupe_grant(BAD, 64, &h), ERR_ADDRESS);
}

static u32 channel(void) {
  u32 h = 0;
  same("a channel to check with", troupe_channel(&h), 0);
  return h;
}

static void check_channel(void) {
  u32 h = channel();
  same("another one", channel() != h, 1);
  same("give it back", troupe_close(h), 0);
  same("bad pointer", troupe_channel((u32 *)0xfffffffe), ERR_ADDRESS);
}

static void check_send(void) {
  u32 h = channel(), weak = 0;
  same("nobody receives", troupe_send(h, 0, S("x"), 0), ERR_PENDING);
  same("nor in a millisecond", troupe_send(h, 1, S("x"), 0), ERR_PENDING);
  same("a handle that is none", troupe_send(h, 0, S("x"), nobody), ERR_NOT_FOUND);
  same("an end to receive", troupe_attenuate(h, RIGHT_RECV, &weak), 0);
  same("by that", troupe_send(weak, 0, S("x"), 0), ERR_FORBIDDEN);
  same("nobody's handle", troupe_send(nobody, 0, S("x"), 0), ERR_NOT_FOUND);
  same("of a query", troupe_send(self, 0, S("x"), 0), ERR_PARAM);
  same("bad pointer", troupe_send(h, 0, BAD, 64, 0), ERR_ADDRESS);
  same("too long", troupe_send(h, 0, big, MAX_BYTES + 1, 0), ERR_PARAM);
  troupe_channel_close(h);
  same("closed", troupe_send(h, 0, S("x"), 0), ERR_CLOSED);
}

static void check_recv(void) {
  u32 h = channel(), weak = 0, pass = 0;
  u64 n = 0;
  same("nobody sends", troupe_recv(h, 0, big, 16, &n, &pass), ERR_PENDING);
  same("an end to send", troupe_attenuate(h, RIGHT_SEND, &weak), 0);
  same("by that", troupe_recv(weak, 0, big, 16, &n, &pass), ERR_FORBIDDEN);
  if (!troupe_grant(S("send-only"), &weak))
    same("of which one may only send", troupe_recv(weak, 0, big, 16, &n, &pass), ERR_FORBIDDEN);
  else
    skip("of which one may only send");
  same("nobody's handle", troupe_recv(nobody, 0, big, 16, &n, &pass), ERR_NOT_FOUND);
  same("bad buffer", troupe_recv(h, 0, BAD, 64, &n, &pass), ERR_ADDRESS);
  troupe_channel_close(h);
  same("closed", troupe_recv(h, 0, big, 16, &n, &pass), ERR_CLOSED);
}

static void check_attenuate(void) {
  u32 h = channel(), weak = 0, back = 0;
  same("to send", troupe_attenuate(h, RIGHT_SEND, &weak), 0);
  same("and back", troupe_attenuate(weak, RIGHT_SEND | RIGHT_RECV, &back), ERR_FORBIDDEN);
  same("close by that", troupe_channel_close(weak), ERR_FORBIDDEN);
  same("nobody's handle", troupe_attenuate(nobody, RIGHT_SEND, &weak), ERR_NOT_FOUND);
  same("of a query", troupe_attenuate(self, RIGHT_SEND, &weak), ERR_PARAM);
  same("bad pointer", troupe_attenuate(h, RIGHT_SEND, (u32 *)0xfffffffe), ERR_ADDRESS);
  troupe_channel_close(h);
}

static void check_channel_close(void) {
  u32 h = channel();
  same("once", troupe_channel_close(h), 0);
  same("twice", troupe_channel_close(h), ERR_CONDITION);
  same("nobody's handle", troupe_channel_close(nobody), ERR_NOT_FOUND);
  same("of a query", troupe_channel_close(self), ERR_PARAM);
}

static u32 topic(void) {
  u32 h = 0;
  same("a topic to check with", troupe_grant(S("topic"), &h), 0);
  return h;
}

static void check_publish(void) {
  u32 h = topic(), c = channel(), weak = 0;
  same("to nobody", troupe_publish(h, S("x")), 0);
  same("an end to subscribe", troupe_attenuate(h, RIGHT_RECV, &weak), 0);
  same("by that", troupe_publish(weak, S("x")), ERR_FORBIDDEN);
  same("to a channel", troupe_publish(c, S("x")), ERR_PARAM);
  same("nobody's handle", troupe_publish(nobody, S("x")), ERR_NOT_FOUND);
  same("bad pointer", troupe_publish(h, BAD, 64), ERR_ADDRESS);
  troupe_close(h);
}

static void check_subscribe(void) {
  u32 h = topic(), s = 0, pass = 0, weak = 0;
  u64 n = 0;
  same("two messages", troupe_subscribe(h, 2, &s), 0);
  same("one", troupe_publish(h, S("1")), 0);
  same("two", troupe_publish(h, S("2")), 0);
  same("three", troupe_publish(h, S("3")), 0);
  same("the first", troupe_recv(s, 1000, big, 16, &n, &pass), 0);
  same("is one", big[0], '1');
  same("the second", troupe_recv(s, 1000, big, 16, &n, &pass), 0);
  same("is two", big[0], '2');
  same("no third", troupe_recv(s, 0, big, 16, &n, &pass), ERR_PENDING);
  same("close", troupe_close(s), 0);
  same("an end to publish", troupe_attenuate(h, RIGHT_SEND, &weak), 0);
  same("by that", troupe_subscribe(weak, 2, &s), ERR_FORBIDDEN);
  either("1025 messages", troupe_subscribe(h, 1025, &s), ERR_PARAM, ERR_LIMITED);
  same("nobody's handle", troupe_subscribe(nobody, 2, &s), ERR_NOT_FOUND);
  troupe_close(h);
}

static void check_dropped(void) {
  u32 h = topic(), s = 0;
  u64 was = 0, n = 0;
  same("of the topic", troupe_dropped(h, &was), 0);
  same("a subscription", troupe_subscribe(h, 1, &s), 0);
  same("one", troupe_publish(h, S("1")), 0);
  same("two", troupe_publish(h, S("2")), 0);
  same("of the subscription", troupe_dropped(s, &n), 0);
  same("is one", n, 1);
  same("of the topic again", troupe_dropped(h, &n), 0);
  same("is one more", n, was + 1);
  same("nobody's handle", troupe_dropped(nobody, &n), ERR_NOT_FOUND);
  same("of a query", troupe_dropped(self, &n), ERR_PARAM);
  troupe_close(s);
  troupe_close(h);
}

static const struct {
  const char *name;
  void (*run)(void);
} checks[] = {
#define C(name) {#name, check_##name}
    C(log), C(fact), C(blob_read), C(kv_get), C(kv_put), C(kv_delete), C(kv_list), C(sign), C(derive_secret), C(tip), C(gas_token),
    C(gas_left), C(quote), C(accept), C(head), C(read), C(write), C(respond), C(reply), C(shutdown), C(close), C(poll), C(timer),
    C(timer_reset), C(lock), C(connect), C(listen), C(conn_accept), C(fetch), C(grant), C(channel), C(send), C(recv), C(attenuate),
    C(channel_close), C(publish), C(subscribe), C(dropped),
};
enum { count = sizeof checks / sizeof *checks };

static u32 equal(const char *a, const char *b) { return starts(a, b) && !a[size_of(b)]; }

static void query(u32 h) {
  u64 n = 0;
  u32 known = 0;
  len = 0;
  self = h;
  for (u32 i = 0; i < sizeof head; i++) head[i] = 0;
  troupe_head(h, head, sizeof head - 1, &n);
  char name[64] = {0};
  if (starts(head, "conformance/"))
    for (u32 i = 0; i < 63 && head[12 + i] && head[12 + i] != '\n'; i++) name[i] = head[12 + i];
  for (u32 i = 0; i < count; i++) {
    if (equal(name, "list")) {
      put(checks[i].name);
      put("\n");
      known = 1;
    } else if (equal(name, checks[i].name)) {
      function = checks[i].name;
      checks[i].run();
      known = 1;
    }
  }
  if (equal(name, "http")) troupe_reply(h, 0, http_text, http_len);
  else if (known) troupe_reply(h, 0, text, len);
  else troupe_reply(h, 1, S("no such check"));
  before = h;
}

static void http(u32 h) {
  u64 n = 0;
  u32 e, more = 1000;
  len = 0;
  function = "http";
  same("head", troupe_head(h, head, sizeof head, &n), 0);
  same("reply", troupe_reply(h, 0, S("x")), ERR_PARAM);
  while (!(e = troupe_read(h, 5000, big, sizeof big, &n)) && more--) {}
  same("body to the end", e, ERR_END);
  same("status 99", troupe_respond(h, 99, "", 0), ERR_PARAM);
  either("header that is none", troupe_respond(h, 200, S("hello")), ERR_ENCODING, ERR_PARAM);
  same("respond", troupe_respond(h, 200, S("Content-Type: text/plain\r\n")), 0);
  same("respond twice", troupe_respond(h, 200, "", 0), ERR_CONDITION);
  same("write", troupe_write(h, 5000, S("conformance\n"), &n), 0);
  same("written", n, 12);
  same("shutdown", troupe_shutdown(h), 0);
  e = troupe_write(h, 0, S("x"), &n);
  either("write after shutdown", e, ERR_CONDITION, ERR_CLOSED);
  same("close", troupe_close(h), 0);
  same("close twice", troupe_close(h), ERR_NOT_FOUND);
  for (http_len = 0; http_len < len && http_len < sizeof http_text; http_len++) http_text[http_len] = text[http_len];
}

__attribute__((export_name("_start"))) void start(void) {
  u32 kind, h;
  while (!troupe_accept(-1, &kind, &h)) {
    if (kind == EVENT_QUERY) query(h);
    else if (kind == EVENT_HTTP) http(h);
    else troupe_close(h);
  }
}
