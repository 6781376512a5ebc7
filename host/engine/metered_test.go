package engine

import "github.com/troupehost/troupe/artifacts/wasm"

// metered are options that meter everything. The weights are such that no two kinds of charge look alike.
func metered() wasm.Options {
	w := &wasm.Weights{Version: 1, Function: 7, Local: 1, HostCall: 500, GrowPage: 10_000, BulkByte: 1, TableGrow: 20, BulkElement: 3}
	for i := range w.Op {
		w.Op[i] = 2
	}
	for i := range w.Misc {
		w.Misc[i] = 5
	}
	for i := range w.Vector {
		w.Vector[i] = 4
	}
	return wasm.Options{Weights: w, Stack: true}
}
