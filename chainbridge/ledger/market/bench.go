package market

import (
	"math"
	"math/bits"
	"slices"

	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
	"github.com/troupehost/troupe/chainbridge/ledger/registry"
)

// BenchmarkAppAdded says that the scores of an app count.
type BenchmarkAppAdded struct {
	Address    pallet.Hash `json:"address"`
	Ticket     uint64      `json:"ticket"`
	ScoreRatio Ratio       `json:"score_ratio"`
}

// BenchmarkAppRemoved says that they count no longer.
type BenchmarkAppRemoved struct {
	Address pallet.Hash `json:"address"`
	Ticket  uint64      `json:"ticket"`
}

// RecommendedBenchmarkAppChanged says which app workers should run.
type RecommendedBenchmarkAppChanged struct {
	Address *pallet.Hash `json:"address"` // nil: none
}

// HeartbeatV3 says that a score has answered the challenges of a worker.
type HeartbeatV3 struct {
	Worker     pallet.Account `json:"worker"`
	SessionID  uint32         `json:"session_id"` // of computing
	Iterations uint64         `json:"iterations"`
	PInstant   uint32         `json:"p_instant"`
}

const (
	scoreFactor = 6
	maxScore    = 6000
	maxScoreAge = 600 // seconds, in both directions; this much is too much
)

// BenchmarkScoreSubmit says how fast a worker is. Anybody may bring what it has signed.
type BenchmarkScoreSubmit struct {
	AsInitScore bool         `json:"as_init_score"`           // else it answers a challenge
	Signed      pallet.Bytes `json:"signed" scale:"max=1024"` // a meter.SignedMessage

	heartbeat func(c *pallet.Context, worker pallet.Account, iterations, at uint64) (Beat, error) `scale:"-"`
}

// Run implements pallet.Call.
func (b *BenchmarkScoreSubmit) Run(c *pallet.Context) error {
	if _, err := c.Signer(); err != nil {
		return err
	}
	m, err := meter.OpenSignedMessage(b.Signed)
	if err != nil {
		return opened(err)
	}
	worker := pallet.Account(m.Worker)
	if err := isRegistered(c.Store, worker); err != nil {
		return err
	}
	bench, ok := benchApps.Get(c.Store, m.App)
	if !ok {
		return fail("InvalidBenchApp", "the scores of the app do not count")
	}
	if now := c.Time / 1000; max(now, m.Score.Timestamp)-min(now, m.Score.Timestamp) >= maxScoreAge {
		return fail("OutdatedMessage", "the score is of another time")
	}
	in, err := current(c.Store, worker, m.Score.Token)
	if err != nil {
		return err
	}
	if m.Score.Token.SN <= in.LastScoreSN {
		return fail("OutdatedMessage", "a score that is as new is known")
	}
	in.LastScoreSN = m.Score.Token.SN
	sessions.Put(c.Store, worker, in)
	if b.AsInitScore {
		return registry.SetInitialScore(c, worker, bench.ScoreRatio.score(m.Score.GasPerSecond))
	}
	iterations := bench.ScoreRatio.of(m.Score.GasConsumed)
	beat, err := b.heartbeat(c, worker, iterations, c.Time/1000)
	if err != nil {
		return err
	}
	if beat.Answered {
		c.Emit(name, "HeartbeatV3", HeartbeatV3{worker, beat.SessionID, iterations, beat.PInstant})
	}
	return nil
}

// of returns the part of n, or the largest number if there is none.
func (r Ratio) of(n uint64) uint64 {
	hi, lo := bits.Mul64(n, uint64(r.Numerator))
	if hi >= uint64(r.Denominator) {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, uint64(r.Denominator))
	return q
}

// score returns the score that a worker starts with. It is capped before it is cut to 32 bits.
func (r Ratio) score(gasPerSecond uint64) uint32 {
	return uint32(min(r.of(gasPerSecond), maxScore/scoreFactor) * scoreFactor)
}

// BenchmarkAppAdd lets governance have the scores of an app count, and makes a ticket for it that any worker may serve for nothing.
type BenchmarkAppAdd struct {
	Address     pallet.Hash `json:"address"`
	ManifestCID string      `json:"cid" scale:"max=128"`
	ScoreRatio  Ratio       `json:"ratio"`
}

// Run implements pallet.Call.
func (b *BenchmarkAppAdd) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if b.ScoreRatio.Denominator == 0 {
		return fail("InvalidParameter", "a ratio over 0")
	}
	if _, listed := benchApps.Get(c.Store, b.Address); listed {
		return fail("InvalidBenchApp", "the app is listed already")
	}
	list, _ := benchList.Get(c.Store)
	if len(list) >= MaxBenchmarkApps {
		return fail("InvalidParameter", "there are as many benchmark apps as there may be")
	}
	id := create(c, Ticket{System: true, Address: b.Address, ManifestCID: b.ManifestCID}, pallet.Balance{})
	benchApps.Put(c.Store, b.Address, BenchmarkApp{id, b.ScoreRatio})
	benchList.Put(c.Store, append(list, b.Address))
	c.Emit(name, "BenchmarkAppAdded", BenchmarkAppAdded{b.Address, id, b.ScoreRatio})
	return nil
}

// BenchmarkAppSetRecommended lets governance say which of the listed apps workers should run.
type BenchmarkAppSetRecommended struct {
	Address pallet.Hash `json:"address"`
}

// Run implements pallet.Call.
func (b *BenchmarkAppSetRecommended) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	if _, listed := benchApps.Get(c.Store, b.Address); !listed {
		return fail("InvalidBenchApp", "the app is not listed")
	}
	recommended.Put(c.Store, b.Address)
	c.Emit(name, "RecommendedBenchmarkAppChanged", RecommendedBenchmarkAppChanged{&b.Address})
	return nil
}

// BenchmarkAppSet lists an app and recommends it.
type BenchmarkAppSet BenchmarkAppAdd

// Run implements pallet.Call.
func (b *BenchmarkAppSet) Run(c *pallet.Context) error {
	if err := (*BenchmarkAppAdd)(b).Run(c); err != nil {
		return err
	}
	return (&BenchmarkAppSetRecommended{b.Address}).Run(c)
}

// BenchmarkAppRemove undoes BenchmarkAppAdd: the ticket goes, and the recommendation if it was this app's.
type BenchmarkAppRemove struct {
	Address pallet.Hash `json:"address"`
}

// Run implements pallet.Call.
func (b *BenchmarkAppRemove) Run(c *pallet.Context) error {
	if err := c.EnsureRoot(); err != nil {
		return err
	}
	a, listed := benchApps.Get(c.Store, b.Address)
	if !listed {
		return fail("InvalidBenchApp", "the app is not listed")
	}
	benchApps.Delete(c.Store, b.Address)
	list, _ := benchList.Get(c.Store)
	benchList.Put(c.Store, slices.DeleteFunc(list, func(h pallet.Hash) bool { return h == b.Address }))
	finish(c, duty{Kind: Closing, ID: a.Ticket})
	c.Emit(name, "BenchmarkAppRemoved", BenchmarkAppRemoved{b.Address, a.Ticket})
	if now, ok := recommended.Get(c.Store); ok && now == b.Address {
		recommended.Delete(c.Store)
		c.Emit(name, "RecommendedBenchmarkAppChanged", RecommendedBenchmarkAppChanged{})
	}
	return nil
}
