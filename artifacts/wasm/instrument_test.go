package wasm

import (
	"runtime"
	"testing"
)

// everythingAdded is what the product adds to each module.
var everythingAdded = Options{Weights: Weights1(), Stack: true}

// TestInstrumentTakesLittleMemory bounds what one rewrite allocates, freed or not.
func TestInstrumentTakesLittleMemory(t *testing.T) {
	code := guest(t, "go-hello")
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	in, err := Instrument(code, Policy{}, everythingAdded)
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	took := float64(after.TotalAlloc-before.TotalAlloc) / float64(len(code))
	t.Logf("%d bytes become %d; allocated %.2f times the module", len(code), len(in.Code), took)
	if took > 3 {
		t.Errorf("allocated %.2f times the module, limit 3", took)
	}
}

func BenchmarkInstrument(b *testing.B) {
	code := guest(b, "go-hello")
	for _, row := range []struct {
		name    string
		options Options
	}{{"nothing", Options{}}, {"gas", Options{Weights: Weights1()}}, {"gas+stack", everythingAdded}} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(code)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Instrument(code, Policy{}, row.options); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
