package abi

import (
	"strings"
	"testing"
)

// TestFunctionsOfTroupe: each has a name, a number and a signature of its own, and stays within what frames carry.
func TestFunctionsOfTroupe(t *testing.T) {
	names, ops := map[string]bool{}, map[Op]bool{}
	for i := range TroupeFunctions {
		f := &TroupeFunctions[i]
		if names[f.Name] || ops[f.Op] || f.Op < OpLog || f.Op > OpGasLeft || strings.Trim(f.Params, "iIbopP") != "" {
			t.Errorf("%+v", f)
		}
		names[f.Name], ops[f.Op] = true, true
		if !Known(Troupe, f.Name, f.signature().String()) || Known(Troupe, f.Name, "() -> ()") {
			t.Errorf("%s%v is not offered as it is", f.Name, f.signature())
		}
		nums, args, results, data := f.Carries()
		if nums > MaxNums || args > MaxArgs || results > MaxNums || strings.Count(f.Params, "o") > 1 || data != strings.Contains(f.Params, "o") {
			t.Errorf("%s carries %d, %d, %d", f.Name, nums, args, results)
		}
		if got := Asked(f.Op); (got == nil) != (f.Op == OpGasLeft) || got != nil && *got != *f {
			t.Errorf("%s: %+v", f.Name, got)
		}
	}
	if len(ops) != int(OpGasLeft-OpLog)+1 {
		t.Errorf("%d functions for %d numbers", len(ops), OpGasLeft-OpLog+1)
	}
	for _, op := range []Op{0, 2, OpLog - 1, OpGasLeft, OpGasLeft + 1, 1<<16 - 1} {
		if f := Asked(op); f != nil {
			t.Errorf("%d is %+v", op, f)
		}
	}
	if f := Asked(OpTurn); f == nil || f.Op != OpTurn || f.Params != "" {
		t.Errorf("%+v", f)
	}
	if Known(Troupe, "turn", "() -> (i32)") {
		t.Error("a guest can ask for its turn")
	}
}

// TestWhatIsHeavy: the bytes of a call that are not charged by their number are names.
func TestWhatIsHeavy(t *testing.T) {
	for name, want := range map[string]int{"sign": 0, "derive_secret": 1, "kv_put": 1, "kv_list": 2, "blob_read": 2, "send": 2, "recv": 2, "tip": -1, "accept": -1} {
		for i := range TroupeFunctions {
			if f := &TroupeFunctions[i]; f.Name == name && f.Heavy() != want {
				t.Errorf("%s: %d, want %d", name, f.Heavy(), want)
			}
		}
	}
}
