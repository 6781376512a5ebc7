package store

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/troupehost/troupe/artifacts"
)

func BenchmarkPut10MB(b *testing.B) {
	s, _ := open(b, b.TempDir(), testBuild, 1<<20)
	defer s.shut(b)
	m, files := sealedFiles(b, 1, 10_000_000)
	b.SetBytes(m.Bytes())
	for b.Loop() {
		if _, err := s.Put(context.Background(), m, files, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet10MB(b *testing.B) {
	s, _ := open(b, b.TempDir(), testBuild, 1<<30)
	defer s.shut(b)
	m, files := sealedFiles(b, 1, 10_000_000)
	if _, err := s.Put(context.Background(), m, files, false); err != nil {
		b.Fatal(err)
	}
	for _, cold := range []bool{true, false} {
		b.Run(map[bool]string{true: "cold", false: "warm"}[cold], func(b *testing.B) {
			b.SetBytes(m.Bytes())
			for b.Loop() {
				if cold {
					s.mu.Lock()
					s.memory.clear()
					s.mu.Unlock()
				}
				h, err := s.Get(context.Background(), m.Key)
				if err != nil {
					b.Fatal(err)
				}
				h.Close()
			}
		})
	}
}

// BenchmarkChurn stores 60 artifacts of 10 MB and keeps the last two: what that takes at most on disk and in memory.
func BenchmarkChurn(b *testing.B) {
	m, files := sealedFiles(b, 1, 9_000_000)
	for b.Loop() {
		s, _ := open(b, b.TempDir(), testBuild, 1<<20)
		var disk, rss int64
		var keys []artifacts.Key
		for n := range 60 {
			m.Key = artifacts.Key{byte(n), 7}
			if _, err := s.Put(context.Background(), m, files, false); err != nil {
				b.Fatal(err)
			}
			if keys = append(keys, m.Key); n >= 2 {
				if err := s.Delete(context.Background(), keys[n-2]); err != nil {
					b.Fatal(err)
				}
			}
			disk, rss = max(disk, s.dir.Cache.DiskBytes()), max(rss, residentBytes())
		}
		b.ReportMetric(float64(disk)/1e6, "disk_MB")
		b.ReportMetric(float64(rss)/1e6, "rss_MB")
		s.shut(b)
	}
}

func BenchmarkOpen1000(b *testing.B) {
	dir := b.TempDir()
	s, _ := open(b, dir, testBuild, 1<<20)
	for n := range uint64(1000) {
		m, files := sealedFiles(b, n, 100_000)
		if _, err := s.Put(context.Background(), m, files, false); err != nil {
			b.Fatal(err)
		}
		release(files)
	}
	s.shut(b)
	for b.Loop() {
		s, entries := open(b, dir, testBuild, 1<<20)
		if len(entries) != 1000 {
			b.Fatal(len(entries))
		}
		b.StopTimer()
		s.shut(b)
		b.StartTimer()
	}
}

// residentBytes returns the resident memory of this process.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	return n * int64(os.Getpagesize())
}
