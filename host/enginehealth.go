package host

import "github.com/troupehost/troupe/artifacts/wasm"

// warning is what a health condition says.
type warning struct{ code, message, hint string }

// engineWarnings are the known faults of the engine that code can meet on this architecture under this policy. They last as long
// as the host. See host/RATIONALE.md.
func engineWarnings(goarch string, p wasm.Policy) (out []warning) {
	if p.Features&wasm.Exceptions != 0 {
		out = append(out, warning{"engine.exceptions",
			"code may use exceptions, and the engine's are not safe: a guest can read memory of its worker process that is not its own, and compute wrong results",
			"take them off (--wasm-features wasm2,-exceptions) unless all code here is trusted"})
	}
	if goarch == "arm64" {
		out = append(out, warning{"engine.arm64",
			"on arm64 the engine's compiler gets remainders wrong in functions with many live values: a guest may compute wrong results",
			"run what must be right, or must agree between machines, on amd64"})
	}
	return out
}
