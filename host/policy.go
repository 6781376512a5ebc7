package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/wire"
)

// ParsePolicy reads what code may be: Config.WasmFeatures and Config.WasmCaps.
//
// # Errors
//
// caller.invalid_config, whose subject is the field.
func ParsePolicy(features, caps string) (p wasm.Policy, err error) {
	if p.Features, err = wasm.ParseFeatures(features); err != nil || p.Features == 0 {
		hint := "leave some feature on"
		if err != nil {
			hint = fault.From(err).Hint
		}
		return p, fault.New(fault.CallerConfig, "config", "WasmFeatures", err).WithHint(hint)
	}
	bad := func(hint string) (wasm.Policy, error) {
		return p, fault.New(fault.CallerConfig, "config", "WasmCaps", nil).WithHint(hint)
	}
	if caps == "" {
		return p, nil
	}
	var c artifacts.Caps
	for word := range strings.SplitSeq(caps, ",") {
		if strings.TrimSpace(word) == "" {
			return bad("write NAME=N between the commas, with a name of " + strings.Join(CapNames(), ", "))
		}
		name, number, _ := strings.Cut(strings.TrimSpace(word), "=")
		into := capOf(&c, name)
		if into == nil {
			return bad(fault.Quote(name) + " is none of " + strings.Join(CapNames(), ", "))
		}
		n, err := strconv.ParseInt(number, 10, 48)
		switch {
		case err != nil || n < 1:
			return bad(fmt.Sprintf("write %s=N with a whole number between 1 and %d", name, int64(1)<<47-1))
		case *into != 0:
			return bad(name + " stands there twice")
		}
		*into = int(n)
	}
	p.Caps = wasm.Caps(c)
	return p, nil
}

// CapNames returns the names of the caps in Config.WasmCaps, which are those of messages too, in the order of wasm.Caps.
func CapNames() []string {
	t := reflect.TypeFor[artifacts.Caps]()
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = strings.ReplaceAll(t.Field(i).Tag.Get("json"), "_", "-")
	}
	return names
}

// capOf finds a cap by its name, or nil.
func capOf(c *artifacts.Caps, name string) *int {
	for i, n := range CapNames() {
		if n == name {
			return reflect.ValueOf(c).Elem().Field(i).Addr().Interface().(*int)
		}
	}
	return nil
}

// policyName names a policy, as long as what instruments code stays the same: what it refused is refused under that name only.
func policyName(p wasm.Policy) string {
	h := sha256.Sum256(fmt.Appendf(nil, "%d %d %+v", wire.InstrumentVersion, p.Features, p.Caps))
	return hex.EncodeToString(h[:8])
}

// within holds what was recorded of an artifact against a policy of today. A record that cannot be read is refused.
func within(s artifacts.Shape, p wasm.Policy) *fault.Error {
	shape := wasm.Shape{Caps: wasm.Caps(s.Caps)}
	if s.Features != "" { // else it would be the default set
		var err error
		if shape.Features, err = wasm.ParseFeatures(s.Features); err != nil {
			return fault.From(err)
		}
	}
	return fault.From(shape.Within(p))
}
