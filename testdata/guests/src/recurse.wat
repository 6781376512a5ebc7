(module (memory (export "memory") 1)
  (func $f (export "run") (param i32) (result i32) (i32.add (i32.const 1) (call $f (i32.add (local.get 0) (i32.const 1))))))
