package run

import (
	"reflect"
	"testing"
	"time"
)

// TestParamsHashCoversEachField toggles one field at a time, found by reflection, and spells defaults out.
func TestParamsHashCoversEachField(t *testing.T) {
	seen := map[string]string{}
	add := func(name string, p Params) {
		h := p.Hash()
		if other, dup := seen[h]; dup {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[h] = name
	}
	add("zero", Params{})
	var walk func(name string, field func(*Params) reflect.Value)
	walk = func(name string, field func(*Params) reflect.Value) {
		var p Params
		v := field(&p)
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(name+"."+v.Type().Field(i).Name, func(p *Params) reflect.Value { return field(p).Field(i) })
			}
			return
		case reflect.String:
			v.SetString("x")
		case reflect.Slice:
			for _, l := range [][]string{{""}, {"", ""}, {"x"}} {
				v.Set(reflect.ValueOf(l))
				add(name, p)
			}
			return
		case reflect.Uint8:
			v.SetUint(2)
		default:
			v.SetInt(77)
		}
		add(name, p)
	}
	walk("Params", func(p *Params) reflect.Value { return reflect.ValueOf(p).Elem() })
	defaults := Params{Entry: Entry{Mode: Command}, Limits: Limits{}.WithDefaults(), Imports: RefuseMissing, Determinism: Deterministic, Isolation: Reset}
	if defaults.Hash() != (Params{}).Hash() {
		t.Error("a default that is spelled out is another parameter")
	}
	if (Params{Tenant: "ab", App: "c"}).Hash() == (Params{Tenant: "a", App: "bc"}).Hash() {
		t.Error("a boundary between fields can be shifted")
	}
	const want = "cf9eb783a7635248561a4af3f039c87dea34ea5188f8ef1e4d0c9a950d95039f"
	if got := (Params{Tenant: "t", Entry: Entry{Mode: Invoke, Name: "f"}, Limits: Limits{CPU: time.Second}}).Hash(); got != want {
		t.Errorf("the hash changed: %s, want %s; receipts of before cannot be compared", got, want)
	}
}
