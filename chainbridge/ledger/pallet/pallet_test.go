package pallet

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/troupehost/troupe/actors/fault"
)

// all has each type that has a text of its own.
type all struct {
	A Account
	H Hash
	B Bytes
	U Balance
}

func TestTexts(t *testing.T) {
	want := all{Account{1}, Hash{2}, Bytes{3}, Balance{Lo: 4, Hi: 1}}
	b, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(b); text != `{"A":"01`+strings.Repeat("00", 31)+`","H":"02`+strings.Repeat("00", 31)+`","B":"0x03","U":"18446744073709551620"}` {
		t.Error(text)
	}
	for _, spelled := range []string{string(b), strings.Replace(string(b), `"01`, `"0x01`, 1), strings.Replace(string(b), `0x03`, `03`, 1)} {
		var got all
		if err := json.Unmarshal([]byte(spelled), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	for _, bad := range []string{`{"A":"01"}`, `{"H":"zz"}`, `{"B":"0x0"}`, `{"U":"-1"}`, `{"U":"340282366920938463463374607431768211456"}`, `{"U":""}`} {
		if err := json.Unmarshal([]byte(bad), new(all)); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestParams(t *testing.T) {
	type asked struct {
		N int `json:"n"`
	}
	for params, want := range map[string]int{"": 0, "null": 0, "{}": 0, `{"n":3}`: 3} {
		var got asked
		if err := Params(json.RawMessage(params), &got); err != nil || got.N != want {
			t.Errorf("%q: %d, %v", params, got.N, err)
		}
	}
	for _, params := range []string{"[", "[]", `{"m":1}`, `{"n":"x"}`, "{}{}", "{"} {
		if err := Params(json.RawMessage(params), new(asked)); !errors.Is(err, fault.CallerInvalid) {
			t.Errorf("%q: %v", params, err)
		}
	}
}

// TestAnswer: pages of all sizes end where the list does, and say so.
func TestAnswer(t *testing.T) {
	var list []int
	for i := range 250 {
		list = append(list, i)
	}
	for _, limit := range []int{-1, 0, 1, 7, 50, 100, 125, 1 << 30} {
		var got []int
		var after *int
		for {
			a := NewAnswer[int, int](Page[int]{After: after, Limit: limit})
			for _, n := range list {
				if (after == nil || n > *after) && !a.Add(n, n) {
					break
				}
			}
			if len(a.Items) > MaxPage || len(a.Items) == 0 {
				t.Fatalf("limit %d: a page of %d", limit, len(a.Items))
			}
			got = append(got, a.Items...)
			if after = a.Next; after == nil {
				break
			}
		}
		if !slices.Equal(got, list) {
			t.Errorf("limit %d: %d items", limit, len(got))
		}
	}
	if b, err := json.Marshal(NewAnswer[int, int](Page[int]{})); err != nil || string(b) != `{"items":[],"next":null}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestErrors(t *testing.T) {
	err := Fail("Wapod", "NotAllowed", "why")
	if err.Error() != "Wapod.NotAllowed: why" || Fail("A", "B", "").Error() != "A.B" {
		t.Error(err)
	}
	if !errors.Is(err, Fail("Wapod", "NotAllowed", "")) || errors.Is(err, Fail("Wapod", "TicketNotFound", "why")) || errors.Is(err, fault.CallerInvalid) {
		t.Error("errors are not told by their names")
	}
	for kind, want := range map[OriginKind][2]bool{Nobody: {false, false}, Signed: {true, false}, Root: {false, true}} {
		c := (&Context{}).As(Origin{Kind: kind, Account: Account{1}})
		who, err := c.Signer()
		if (err == nil) != want[0] || (who == Account{1}) != want[0] || (c.EnsureRoot() == nil) != want[1] {
			t.Errorf("kind %d: %v, %v", kind, err, c.EnsureRoot())
		}
	}
}
