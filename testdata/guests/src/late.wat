;; Reads the clock and random bytes in its initialisation and in each run. query returns both: 8 bytes of the monotonic clock and 8
;; random bytes of initialisation, then those of the run.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global (export "__heap_base") i32 (i32.const 1024))
  (func $look (param $at i32)
    (drop (call $clock (i32.const 1) (i64.const 1) (local.get $at)))
    (drop (call $random (i32.add (local.get $at) (i32.const 8)) (i32.const 8))))
  (func (export "_initialize") (call $look (i32.const 64)))
  (func (export "query") (param i32 i32) (result i64)
    (call $look (i32.const 80))
    (i64.or (i64.shl (i64.const 32) (i64.const 32)) (i64.const 64))))
