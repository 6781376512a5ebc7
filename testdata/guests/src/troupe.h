// The module troupe_v1 for programs in C: its functions, error numbers and facts. Each function returns an error number. Bytes are a
// pointer and a length; a buffer for the answer is a pointer and the room there, and the size says how much there was. Timeouts are in
// milliseconds: below zero waits as long as it takes, 0 does not wait.
#pragma once
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define TROUPE(name) __attribute__((import_module("troupe_v1"), import_name(#name))) u32 troupe_##name

TROUPE(log)(u32 level, const void *text, u32 text_len);
TROUPE(fact)(u32 which, void *out, u32 room, u64 *size);
TROUPE(blob_read)(const void *hash, u32 hash_len, u64 offset, void *out, u32 room, u64 *size);
TROUPE(kv_get)(const void *key, u32 key_len, void *out, u32 room, u64 *size);
TROUPE(kv_put)(const void *key, u32 key_len, const void *value, u32 value_len);
TROUPE(kv_delete)(const void *key, u32 key_len);
TROUPE(kv_list)(const void *prefix, u32 prefix_len, const void *after, u32 after_len, void *out, u32 room, u64 *size);
TROUPE(sign)(const void *data, u32 data_len, void *out, u32 room);
TROUPE(derive_secret)(const void *path, u32 path_len, void *out, u32 room);
TROUPE(tip)(u64 amount);
TROUPE(gas_token)(u64 *gas, void *out, u32 room);
TROUPE(gas_left)(u64 *gas);
TROUPE(quote)(const void *data, u32 data_len, void *out, u32 room, u64 *size);
TROUPE(accept)(i64 timeout, u32 *kind, u32 *handle);
TROUPE(head)(u32 handle, void *out, u32 room, u64 *size);
TROUPE(read)(u32 handle, i64 timeout, void *out, u32 room, u64 *size);
TROUPE(write)(u32 handle, i64 timeout, const void *data, u32 data_len, u64 *size);
TROUPE(respond)(u32 handle, u32 status, const void *header, u32 header_len);
TROUPE(reply)(u32 handle, u32 status, const void *data, u32 data_len);
TROUPE(shutdown)(u32 handle);
TROUPE(close)(u32 handle);
TROUPE(poll)(const void *handles, u32 handles_len, i64 timeout, u32 *index);
TROUPE(timer)(i64 ms, u32 *handle);
TROUPE(timer_reset)(u32 handle, i64 ms);
TROUPE(lock)(const void *path, u32 path_len, i64 timeout, u32 *handle);
TROUPE(connect)(const void *address, u32 address_len, u32 tls, i64 timeout, u32 *handle);
TROUPE(listen)(const void *address, u32 address_len, u32 *handle);
TROUPE(conn_accept)(u32 handle, i64 timeout, u32 *conn, void *out, u32 room, u64 *size);
TROUPE(fetch)(const void *request, u32 request_len, i64 timeout, u32 *handle);
TROUPE(grant)(const void *name, u32 name_len, u32 *handle);
TROUPE(channel)(u32 *handle);
TROUPE(send)(u32 handle, i64 timeout, const void *data, u32 data_len, u32 pass);
TROUPE(recv)(u32 handle, i64 timeout, void *out, u32 room, u64 *size, u32 *pass);
TROUPE(attenuate)(u32 handle, u32 rights, u32 *out);
TROUPE(channel_close)(u32 handle);
TROUPE(publish)(u32 handle, const void *data, u32 data_len);
TROUPE(subscribe)(u32 handle, u32 buffer, u32 *out);
TROUPE(dropped)(u32 handle, u64 *count);

enum {
  ERR_NONE = 0,
  ERR_UNKNOWN = 1,
  ERR_ADDRESS = 2,
  ERR_PARAM = 3,
  ERR_ENCODING = 4,
  ERR_MEMORY = 5,
  ERR_NOT_FOUND = 7,
  ERR_UNSUPPORTED = 8,
  ERR_IO = 9,
  ERR_LIMITED = 10,
  ERR_PENDING = 11,
  ERR_END = 12,
  ERR_EXISTS = 15,
  ERR_CORRUPT = 16,
  ERR_FORBIDDEN = 17,
  ERR_CONDITION = 18,
  ERR_CLOSED = 256,
  FACT_ADDRESS = 1,
  FACT_APP_SESSION = 2,
  FACT_WORKER_KEY = 3,
  FACT_WORKER_SESSION = 4,
  FACT_INSTANCE = 5,
  FACT_LABEL = 6,
  FACT_CONFIG = 7,
  FACT_STORAGE = 8,
  FACT_BLOCK_TIME = 9,
  EVENT_QUERY = 1,
  EVENT_HTTP = 2,
  EVENT_CONNECTION = 3,
  RIGHT_SEND = 1,
  RIGHT_RECV = 2,
  RIGHT_CLOSE = 4,
  MAX_BYTES = 128 << 10,
  MAX_KEY = 256,
  MAX_KV_VALUE = 64 << 10,
};

// What a handler returns.
static inline u64 troupe_result(const void *p, u32 len) { return (u64)len << 32 | (u32)p; }
