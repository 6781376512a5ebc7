package main

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func committed(t *testing.T) []row {
	t.Helper()
	b, err := os.ReadFile("../../../testdata/gas/v1/measured.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readRows(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := writeRows(&again, rows); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again.Bytes(), b) {
		t.Error("measured.csv is not as gasfit writes it")
	}
	return rows
}

// TestTableIsThatOfTheData fits again, and finds what is committed.
func TestTableIsThatOfTheData(t *testing.T) {
	rows := committed(t)
	fitted, err := fit(rows)
	if err != nil {
		t.Fatal(err)
	}
	for path, got := range map[string][]byte{
		"../../../artifacts/wasm/weights_v1.go": fitted.source(1),
		"../../../testdata/gas/v1/report.txt":   report(rows, fitted),
	} {
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), string(got)); d != "" {
			t.Errorf("%s is not what the data say: run make gas-fit\n%s", path, d)
		}
	}
}

// TestEveryInstructionIsMeasured looks into the data for what nobody measured.
func TestEveryInstructionIsMeasured(t *testing.T) {
	met := counts{}
	for _, r := range committed(t) {
		if r.share()+r.least() > 0 {
			for name, n := range r.count {
				met.add(name, n)
			}
		}
	}
	for _, name := range unknowns() {
		if met[name] <= 0 && !slices.Contains(structure, name) && name != "unreachable" {
			t.Errorf("%s is in no row", name)
		}
	}
}

// TestFitFindsWeights gives it times that were made from known weights.
func TestFitFindsWeights(t *testing.T) {
	weights := counts{"i32.add": 30, "i32.mul": 90, "i32.div_u": 250, "local.set": 10}
	var rows []row
	for _, n := range []counts{
		{"i32.add": 10, "local.set": 10}, {"i32.mul": 10, "local.set": 5}, {"i32.div_u": 4, "i32.add": 3}, {"local.set": 7}, {"i32.add": 5, "i32.mul": 1},
	} {
		r := row{name: "made", role: roleFit, count: n}
		for name, k := range n {
			r.ns += k * weights[name] / gasPerNs
		}
		rows = append(rows, r)
	}
	fitted, err := fit(rows)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range weights {
		if got := float64(fitted[name]); got != want {
			t.Errorf("%s: %g, want %g", name, got, want)
		}
	}
	// A worst case lifts its target, and nothing else, to half of it.
	rows = append(rows, row{name: "worst", role: roleBound, target: "i32.mul", ns: 9.01, count: counts{"i32.mul": 1}})
	if fitted, err = fit(rows); err != nil {
		t.Fatal(err)
	}
	if got := fitted["i32.mul"]; got != 451 {
		t.Errorf("i32.mul: %d, want 451: half of 901, rounded up", got)
	}
	// What is free stays free, and a branch does not.
	if fitted["nop"] != 0 || fitted["local.get"] != 0 || fitted["br"] != leastBranch {
		t.Errorf("nop %d, local.get %d, br %d", fitted["nop"], fitted["local.get"], fitted["br"])
	}
	if _, err := fit([]row{{name: "odd", role: roleFit, ns: 1, count: counts{"i32.plus": 1}}}); err == nil {
		t.Error("an unknown instruction is taken")
	}
}
