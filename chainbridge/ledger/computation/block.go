package computation

import (
	"math"

	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

// challenge is who has to answer.
type challenge struct{ seed, target U256 }

// end is the end of a block: challenges, then all that compute, then the parameters of the next block.
func end(c *pallet.Context) error {
	online, _ := onlineWorkers.Get(c.Store)
	if asked := challenges(c, online); online > 0 {
		p, ok := parameters.Get(c.Store)
		if !ok {
			return nil // the genesis was another
		}
		round(c, online, &p, asked)
	} else if old, ok := sumShare.Get(c.Store); ok && !old.IsZero() {
		sumShare.Delete(c.Store)
	}
	if p, ok := scheduled.Get(c.Store); ok {
		scheduled.Delete(c.Store)
		parameters.Put(c.Store, p)
		c.Emit(name, "TokenomicParametersChanged", TokenomicParametersChanged{p})
	}
	if every, _ := halving.Get(c.Store); every > 0 {
		begun, _ := startBlock.Get(c.Store)
		if (c.Height-min(uint64(begun), c.Height))%uint64(every) == uint64(every)-1 {
			halve(c)
		}
	}
	return nil
}

// challenges announces those of this block.
func challenges(c *pallet.Context, online uint32) (asked []challenge) {
	if f, _ := forced.Get(c.Store); f {
		forced.Delete(c.Store)
		asked = append(asked, challenge{target: maxTarget})
	}
	if off, known := paused.Get(c.Store); known && !off {
		wanted, ok := expected.Get(c.Store)
		if !ok {
			wanted = DefaultExpected
		}
		asked = append(asked, challenge{seed(c), Target(wanted, online, secondsPerBlock(c))})
	}
	for _, a := range asked {
		c.Emit(name, "HeartbeatChallenge", HeartbeatChallenge{a.seed, a.target})
	}
	return asked
}

func secondsPerBlock(c *pallet.Context) uint32 {
	if s, ok := blockSeconds.Get(c.Store); ok {
		return s
	}
	return DefaultBlock
}

// round goes once over the seats, and leaves the sum of the shares for the next block.
func round(c *pallet.Context, online uint32, p *TokenomicParameters, asked []challenge) {
	static, _ := staticV.Get(c.Store)
	var sum fixed.U64F64
	for number := range (online + chunkSeats - 1) / chunkSeats {
		seats, _ := chunks.Get(c.Store, number)
		changed := false
		for i := range seats {
			changed = turn(c, &seats[i], p, asked, static) || changed
			if !seats[i].Unresponsive {
				sum = sum.Plus(seats[i].share())
			}
		}
		if changed {
			chunks.Put(c.Store, number, seats)
		}
	}
	sumShare.Put(c.Store, sum)
}

// turn is the end of a block for one worker. It says whether anything changed.
func turn(c *pallet.Context, s *seat, p *TokenomicParameters, asked []challenge, static bool) bool {
	changed := false
	for _, a := range asked {
		if !hit(s.Hash, a.seed, a.target) {
			continue
		}
		changed = true
		if s.Waiting == 0 {
			s.Since = c.Height
		}
		if s.Waiting < math.MaxUint32 {
			s.Waiting++
		}
	}
	if !s.Unresponsive && s.Waiting > 0 && c.Height-min(s.Since, c.Height) > uint64(p.HeartbeatWindow) {
		s.Unresponsive = true
		session, _ := workerBindings.Get(c.Store, s.Worker)
		info, _ := sessions.Get(c.Store, session)
		info.State, info.V, info.VUpdatedAt = WorkerUnresponsive, s.V, seconds(c)
		sessions.Put(c.Store, session, info)
		c.Emit(name, "WorkerEnterUnresponsive", WorkerEnterUnresponsive{session, s.Worker})
	}
	switch {
	case s.Unresponsive:
		s.slash(p)
	case s.BeatAt != c.Height && !static:
		s.idle(p)
	default:
		return changed
	}
	return true
}

// halve takes a quarter from the budget, which is called halving.
func halve(c *pallet.Context) {
	p, ok := parameters.Get(c.Store)
	if !ok {
		c.Emit(name, "InternalErrorWrongHalvingConfigured", struct{}{})
		return
	}
	p.BudgetPerBlock = p.BudgetPerBlock.Times(literal("0.75"))
	parameters.Put(c.Store, p)
	c.Emit(name, "SubsidyBudgetHalved", struct{}{})
	c.Emit(name, "TokenomicParametersChanged", TokenomicParametersChanged{p})
}
