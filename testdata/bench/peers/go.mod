module github.com/troupehost/troupe/testdata/bench/peers

go 1.26.0

require (
	github.com/bytecodealliance/wasmtime-go/v39 v39.0.1
	github.com/tetratelabs/wazero v1.12.0
	github.com/troupehost/troupe v0.0.0
	golang.org/x/sys v0.49.0
)

require github.com/klauspost/compress v1.20.3 // indirect

replace github.com/troupehost/troupe => ../../..
