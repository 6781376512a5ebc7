//go:build timed

package query_test

import (
	"testing"
	"time"
)

// Who filters 10,000 rows does not notice it.
func TestTenThousandRowsInFiveMilliseconds(t *testing.T) {
	r := testing.Benchmark(BenchmarkMatch10k)
	if took := time.Duration(r.NsPerOp()); took > 5*time.Millisecond {
		t.Errorf("%v", took)
	}
}
