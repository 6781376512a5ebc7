(module (memory (export "memory") 1)
  ;; grows until the host refuses, writing to each page, then traps
  (func $run (export "run") (result i32) (local $page i32)
    (loop $l
      (local.set $page (memory.grow (i32.const 1)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
      (i32.store (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1))
      (br $l))
    (i32.const 0))
  ;; keeps going when the host refuses, and returns how many pages it got
  (func (export "pages") (result i32)
    (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (memory.size))
  (func (export "_start") (drop (call $run))))
