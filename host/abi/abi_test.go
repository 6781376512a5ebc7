package abi

import "testing"

// TestDigestCoversTheTables changes a table for a moment.
func TestDigestCoversTheTables(t *testing.T) {
	before := Digest()
	old := wasi["fd_close"]
	wasi["fd_close"] = signature{"iI", "i"}
	typed := Digest()
	wasi["fd_close"] = old
	env["more"] = signature{}
	more := Digest()
	delete(env, "more")
	f := &TroupeFunctions[0]
	f.Op += 1000
	numbered := Digest()
	f.Op -= 1000
	if numbered == before || typed == before || more == before || typed == more || Digest() != before {
		t.Errorf("%s, other type %s, one more %s", before, typed, more)
	}
}
