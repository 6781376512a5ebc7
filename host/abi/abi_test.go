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
	if typed == before || more == before || typed == more || Digest() != before {
		t.Errorf("%s, other type %s, one more %s", before, typed, more)
	}
}
