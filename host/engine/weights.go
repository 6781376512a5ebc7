package engine

import (
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/wire"
)

// weights is the table by which code is metered; wire.WeightsVersion is its version.
func weights() *wasm.Weights {
	w := &wasm.Weights{Version: wire.WeightsVersion, Function: 20, Local: 1, HostCall: 2000,
		GrowPage: 20_000, BulkByte: 1, TableGrow: 20, BulkElement: 20}
	for i := range w.Op {
		w.Op[i] = 10
	}
	for i := range w.Misc {
		w.Misc[i] = 20
	}
	for i := range w.Vector {
		w.Vector[i] = 20
	}
	return w
}
