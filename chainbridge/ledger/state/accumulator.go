package state

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"sync"

	"golang.org/x/crypto/blake2b"

	"github.com/troupehost/troupe/actors/fault"
)

// lanes is how many numbers of 16 bits an Accumulator has: those of LtHash16 in its published form.
const lanes = 1024

// AccumulatorBytes is the size of an encoded Accumulator.
const AccumulatorBytes = 2 * lanes

// accumulatorKey is where the state keeps it; it does not count itself.
var accumulatorKey = Prefix("State", "Accumulator")

// AccumulatorKey returns the key under which the state keeps its Accumulator, the only one that is not in it.
func AccumulatorKey() []byte { return accumulatorKey }

// Accumulator is a commitment to a set of keys and values, LtHash16 over BLAKE2Xb: it changes by what changes, whatever the size of
// the set, and the order does not matter. The zero value is that of nothing.
type Accumulator struct{ sum [lanes]uint16 }

// element is what a key and its value add. The length of the key keeps one pair from looking like another.
func element(key, value []byte) (b [AccumulatorBytes]byte) {
	x, err := blake2b.NewXOF(AccumulatorBytes, nil)
	if err != nil {
		panic(err) // the size is one
	}
	var n [4]byte
	binary.LittleEndian.PutUint32(n[:], uint32(len(key)))
	_, _ = x.Write(n[:])
	_, _ = x.Write(key)
	_, _ = x.Write(value)
	_, _ = x.Read(b[:])
	return b
}

// Add counts a key that was not there.
func (a *Accumulator) Add(key, value []byte) {
	b := element(key, value)
	for i := range a.sum {
		a.sum[i] += binary.LittleEndian.Uint16(b[2*i:])
	}
}

// Remove takes back what Add did.
func (a *Accumulator) Remove(key, value []byte) {
	b := element(key, value)
	for i := range a.sum {
		a.sum[i] -= binary.LittleEndian.Uint16(b[2*i:])
	}
}

// Merge adds all that another has counted.
func (a *Accumulator) Merge(o *Accumulator) {
	for i := range a.sum {
		a.sum[i] += o.sum[i]
	}
}

// applyBatch is how many changes are worth a goroutine.
const applyBatch = 32

// Apply counts what a block did, on all processors if it did much.
func (a *Accumulator) Apply(changes []Change) {
	procs := min(runtime.GOMAXPROCS(0), len(changes)/applyBatch)
	if procs < 2 {
		a.apply(changes)
		return
	}
	parts := make([]Accumulator, procs)
	var workers sync.WaitGroup
	for i := range parts {
		workers.Go(func() { parts[i].apply(changes[i*len(changes)/procs : (i+1)*len(changes)/procs]) })
	}
	workers.Wait()
	for i := range parts {
		a.Merge(&parts[i])
	}
}

func (a *Accumulator) apply(changes []Change) {
	for _, c := range changes {
		if c.Old != nil {
			a.Remove(c.Key, c.Old)
		}
		if c.New != nil {
			a.Add(c.Key, c.New)
		}
	}
}

// countBatch is how many keys Count hands on at once.
const countBatch = 1024

// Count walks through a whole state and returns the Accumulator that it should have, on all processors.
//
// # Errors
//
// Those of the Source.
func Count(src Source) (*Accumulator, error) {
	type pair struct{ key, value []byte }
	batches := make(chan []pair)
	var sum Accumulator
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			var part Accumulator
			for batch := range batches {
				for _, p := range batch {
					part.Add(p.key, p.value)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Merge(&part)
		})
	}
	var batch []pair
	err := src.Scan(nil, nil, func(key, value []byte) bool {
		if bytes.Equal(key, accumulatorKey) {
			return true
		}
		if batch = append(batch, pair{bytes.Clone(key), bytes.Clone(value)}); len(batch) == countBatch {
			batches <- batch
			batch = nil
		}
		return true
	})
	batches <- batch
	close(batches)
	workers.Wait()
	if err != nil {
		return nil, err
	}
	return &sum, nil
}

// Sum returns the commitment: the BLAKE2b-256 of what Encode returns.
func (a *Accumulator) Sum() [32]byte { return blake2b.Sum256(a.Encode()) }

// Encode returns the AccumulatorBytes of it.
func (a *Accumulator) Encode() []byte {
	b := make([]byte, 0, AccumulatorBytes)
	for _, n := range a.sum {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

// DecodeAccumulator reads what Encode returned.
//
// # Errors
//
// host.chain_corrupt.
func DecodeAccumulator(b []byte) (*Accumulator, error) {
	if len(b) != AccumulatorBytes {
		return nil, fault.New(fault.HostChainCorrupt, "state", "accumulator", nil)
	}
	var a Accumulator
	for i := range a.sum {
		a.sum[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return &a, nil
}
