package store

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts"
)

func BenchmarkPut10MB(b *testing.B) {
	s, _ := open(b, b.TempDir(), testBuild, 64<<20)
	defer s.shut(b)
	b.SetBytes(10 << 20)
	n := uint64(0)
	for b.Loop() {
		b.StopTimer()
		keys := []artifacts.Key{}
		if n > 2 {
			m, _ := artifact(n-3, 1)
			keys = append(keys, m.Key)
		}
		b.StartTimer()
		if _, err := put(s.Store, n, 10<<20); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := s.Delete(b.Context(), keys...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		n++
	}
}

func benchmarkGet(b *testing.B, memory int64, cold bool) {
	s, _ := open(b, b.TempDir(), testBuild, memory)
	defer s.shut(b)
	k, err := put(s.Store, 1, 10<<20)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(10 << 20)
	for b.Loop() {
		if cold {
			b.StopTimer()
			s.memory.clear()
			b.StartTimer()
		}
		h, err := s.Get(b.Context(), k)
		if err != nil {
			b.Fatal(err)
		}
		h.Close()
	}
}

func BenchmarkGet10MBCold(b *testing.B) { benchmarkGet(b, 1<<30, true) }
func BenchmarkGet10MBWarm(b *testing.B) { benchmarkGet(b, 1<<30, false) }

// BenchmarkOpen1000 opens a directory with 1,000 artifacts of 20 KB and reads its index.
func BenchmarkOpen1000(b *testing.B) {
	dir := b.TempDir()
	s, _ := open(b, dir, testBuild, 1<<20)
	for n := range uint64(1000) {
		if _, err := put(s.Store, n, 20_000); err != nil {
			b.Fatal(err)
		}
	}
	s.shut(b)
	for b.Loop() {
		s, entries := open(b, dir, testBuild, 1<<20)
		if len(entries) != 1000 {
			b.Fatalf("%d entries", len(entries))
		}
		b.StopTimer()
		s.shut(b)
		b.StartTimer()
	}
}

// BenchmarkChurn writes 60 artifacts of 10 MB, 600 MB in all, of which two are alive at a time. It reports the most that
// the files took on disk (allocated blocks) and the most resident memory, both seen after each step.
func BenchmarkChurn(b *testing.B) {
	for b.Loop() {
		s, _ := open(b, b.TempDir(), testBuild, 20<<20)
		var disk, rss int64
		for n := range uint64(60) {
			if _, err := put(s.Store, n, 9_500_000); err != nil {
				b.Fatal(err)
			}
			if n >= 2 {
				m, _ := artifact(n-2, 1)
				if err := s.Delete(b.Context(), m.Key); err != nil {
					b.Fatal(err)
				}
			}
			disk, rss = max(disk, s.dir.Cache.DiskBytes()), max(rss, resident(b))
		}
		b.ReportMetric(float64(disk)/1e6, "max_disk_MB")
		b.ReportMetric(float64(s.dir.Cache.DiskBytes())/1e6, "end_disk_MB")
		b.ReportMetric(float64(rss)/1e6, "max_rss_MB")
		s.shut(b)
	}
}

// resident returns VmRSS of this process in bytes.
func resident(b *testing.B) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	for line := range bytes.Lines(status) {
		if rest, ok := strings.CutPrefix(string(line), "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			return n << 10
		}
	}
	b.Fatal("no VmRSS")
	return 0
}
