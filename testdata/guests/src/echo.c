// Bytes in, the same bytes out.
typedef unsigned int u32;
typedef unsigned long long u64;
__attribute__((export_name("echo"))) u64 echo(u32 ptr, u32 len) { return (u64)len << 32 | ptr; }
// A range outside of memory.
__attribute__((export_name("lie"))) u64 lie(u32 ptr, u32 len) { return (u64)0xffffffff << 32 | 0xfffffff0; }
