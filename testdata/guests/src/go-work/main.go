// Go-work is what a Go program does all day: formatting, maps, sorting, JSON, hashes, regular expressions. It is built by the tests
// that measure with it.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

type record struct {
	Name string
	N    int
	Tags []string
}

func main() {
	counts := map[string]int{}
	var records []record
	x := uint32(1)
	for range 3000 {
		x = x*1664525 + 1013904223
		key := fmt.Sprintf("key-%d", x%1000)
		counts[key]++
		records = append(records, record{key, int(x), []string{"a", key}})
	}
	sort.Slice(records, func(i, j int) bool { return records[i].N < records[j].N })
	text, err := json.Marshal(records)
	if err != nil {
		panic(err)
	}
	var back []record
	if err := json.Unmarshal(text, &back); err != nil {
		panic(err)
	}
	h := sha256.New()
	for range 20 {
		h.Write(text)
	}
	found := len(regexp.MustCompile(`key-(\d+)5`).FindAllString(string(text), -1))
	words := bytes.Count([]byte(strings.Repeat("hello world ", 2000)), []byte("o w"))
	fmt.Printf("%x %d %d %d\n", h.Sum(nil)[:4], found, words, len(counts))
}
