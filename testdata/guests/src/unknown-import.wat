(module (import "env" "nothing" (func $n)) (memory (export "memory") 1)
  (func (export "run") (result i32) (i32.const 7)) (func (export "call") (call $n)))
