package wasm

import (
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// weighed is an instruction of the list that the fit uses, with its weight.
type weighed struct {
	name   string
	weight uint32
}

func weighAll(t *testing.T, w *Weights) []weighed {
	t.Helper()
	b, err := os.ReadFile("../../cmd/internal/gasfit/ops.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []weighed
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		n, err := strconv.ParseUint(f[0], 16, 16)
		if err != nil {
			t.Fatal(err)
		}
		weight := &w.Op[byte(n)]
		switch n >> 8 {
		case 0xfc:
			weight = &w.Misc[byte(n)]
		case 0xfd:
			weight = &w.Vector[byte(n)]
		}
		all = append(all, weighed{f[1], *weight})
		*weight = 0
	}
	if len(all) < 440 {
		t.Fatalf("only %d instructions", len(all))
	}
	return all
}

func TestWeightsPriceEveryInstruction(t *testing.T) {
	w := Weights1()
	free := []string{"block", "loop", "else", "end", "nop", "local.get", "local.tee", "ref.null",
		"i32.const", "i64.const", "f32.const", "f64.const", "v128.const"}
	for _, i := range weighAll(t, w) {
		if i.weight == 0 && !slices.Contains(free, i.name) {
			t.Errorf("%s costs nothing", i.name)
		}
		if strings.HasPrefix(i.name, "br") && i.weight < 25 {
			t.Errorf("%s costs %d: a loop of nothing else is next to free", i.name, i.weight)
		}
	}
	// weighAll took away what it knows.
	if w.Op != [256]uint32{} || w.Misc != [32]uint32{} || w.Vector != [256]uint32{} {
		t.Errorf("unknown instructions have a weight: %v", w)
	}
	for name, n := range map[string]uint32{"Function": w.Function, "Local": w.Local, "Value": w.Value, "HostCall": w.HostCall, "GrowPage": w.GrowPage,
		"BulkByte": w.BulkByte, "TableGrow": w.TableGrow, "BulkElement": w.BulkElement} {
		if n == 0 {
			t.Errorf("%s costs nothing", name)
		}
	}
}

// TestNoInstructionIsUnderpriced holds the table against the measurements.
func TestNoInstructionIsUnderpriced(t *testing.T) {
	w := Weights1()
	gas := map[string]float64{"+function": float64(w.Function), "+local": float64(w.Local), "+value": float64(w.Value),
		"+host-call": float64(w.HostCall), "+grow-page": float64(w.GrowPage), "+bulk-byte": float64(w.BulkByte),
		"+table-grow": float64(w.TableGrow), "+bulk-element": float64(w.BulkElement)}
	for _, i := range weighAll(t, w) {
		gas[i.name] = float64(i.weight)
	}
	f, err := os.Open("../../testdata/gas/v1/measured.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	held := map[string]int{}
	for _, l := range lines[1:] {
		name, role := l[0], l[1]
		most, bounded := map[string]float64{"fit": 2, "bound": 2, "amount": 1, "whole": 2}[role]
		if name == "kernels.wasm random_writes" { // waits for memory
			most = 6
		}
		if !bounded {
			continue
		}
		held[role]++
		ns, err := strconv.ParseFloat(l[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		paid := 0.0
		for part := range strings.FieldsSeq(l[4]) {
			what, number, _ := strings.Cut(part, ":")
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				t.Fatal(err)
			}
			if _, known := gas[what]; !known {
				t.Fatalf("%s: unknown %s", name, what)
			}
			paid += n * gas[what] / 100
		}
		if ns > paid*most*1.000001 {
			t.Errorf("%s takes %.2f ns and pays for %.2f, which is %.2f of it, want at least 1/%g", name, ns, paid, paid/ns, most)
		}
	}
	for role, least := range map[string]int{"fit": 900, "bound": 60, "amount": 40, "whole": 19} {
		if held[role] < least {
			t.Errorf("%d rows are %s, want %d", held[role], role, least)
		}
	}
}

func TestWeightsAreCopies(t *testing.T) {
	Weights1().Op[0x6a] = 12345
	if got := Weights1().Op[0x6a]; got == 12345 {
		t.Error("a caller changed the table for all")
	}
}

// TestWeightsNeverChange holds each released table to the letter. A new table is a new version: add a line, change none.
func TestWeightsNeverChange(t *testing.T) {
	for want, w := range map[string]*Weights{
		"939e09904ac00674fcc1b46cb6b7c211104fb1228420bac1fb6682448f23635a": Weights1(),
	} {
		sum := sha256.Sum256(fmt.Append(nil, *w))
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("version %d has digest %s, want %s", w.Version, got, want)
		}
	}
}
