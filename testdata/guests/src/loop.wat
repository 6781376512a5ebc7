(module (memory (export "memory") 1)
  (func $loop (loop $l br $l))
  (export "run" (func $loop)) (export "_start" (func $loop)))
