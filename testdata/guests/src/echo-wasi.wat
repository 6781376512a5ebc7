(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  ;; copies stdin to stdout
  (func (export "_start") (local $n i32) (local $at i32)
    (block $done (loop $more
      (i32.store (i32.const 0) (i32.const 4096))
      (i32.store (i32.const 4) (i32.const 65536))
      (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 16)) (then unreachable))
      (local.set $n (i32.load (i32.const 16)))
      (br_if $done (i32.eqz (local.get $n)))
      (local.set $at (i32.const 4096))
      (loop $out
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $n))
        (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)) (then unreachable))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 16))))
        (local.set $n (i32.sub (local.get $n) (i32.load (i32.const 16))))
        (br_if $out (local.get $n)))
      (br $more)))))
