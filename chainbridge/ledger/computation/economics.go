package computation

import (
	"encoding/binary"

	"github.com/troupehost/troupe/artifacts/scale"
	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
	"github.com/troupehost/troupe/chainbridge/ledger/pallet"
)

var (
	two     = fixed.FromInt(2)
	six     = fixed.FromInt(6)
	conf4   = literal("0.8")
	conf5   = literal("0.7")
	maxPace = literal("1.2") // of P, in parts of what the benchmark found
)

// seat is what is reckoned of a worker that computes.
type seat struct {
	Worker       pallet.Account
	Hash         pallet.Hash // BLAKE2b-256 of Worker, which challenges are compared with
	SessionID    uint32
	Confidence   uint8
	Unresponsive bool
	Based        bool         // Iterations were counted since the start
	Waiting      uint32       // challenges without an answer
	Since        uint64       // the height of the first of them
	BeatAt       uint64       // the height of the last heartbeat that counted
	PaidAt       uint64       // the height up to which it is paid
	V            fixed.U64F64 // in tokens
	Deductible   fixed.U64F64 // of V, since the last pay
	Bench        fixed.U64F64 // P of the benchmark
	Instant      fixed.U64F64 // P of the last heartbeat
	Iterations   uint64       // counted last
	Counted      uint64       // when, in milliseconds of Unix time
}

// seatBytes is the size of an encoded seat.
const seatBytes = 32 + 32 + 4 + 3 + 4 + 3*8 + 4*16 + 2*8

// chunkSeats is how many seats one value of the state holds.
const chunkSeats = 64

// chunk is some seats. It encodes itself since it is read and written with each block.
type chunk []seat

// EncodeScale appends the vector.
func (c *chunk) EncodeScale(e *scale.Encoder) {
	e.Len(len(*c))
	b := make([]byte, 0, len(*c)*seatBytes)
	flag := func(v bool) byte {
		if v {
			return 1
		}
		return 0
	}
	for i := range *c {
		s := &(*c)[i]
		b = append(append(b, s.Worker[:]...), s.Hash[:]...)
		b = binary.LittleEndian.AppendUint32(b, s.SessionID)
		b = append(b, s.Confidence, flag(s.Unresponsive), flag(s.Based))
		b = binary.LittleEndian.AppendUint32(b, s.Waiting)
		for _, n := range [...]uint64{s.Since, s.BeatAt, s.PaidAt, s.V.Frac, s.V.Int, s.Deductible.Frac, s.Deductible.Int,
			s.Bench.Frac, s.Bench.Int, s.Instant.Frac, s.Instant.Int, s.Iterations, s.Counted} {
			b = binary.LittleEndian.AppendUint64(b, n)
		}
	}
	e.Raw(b)
}

// DecodeScale reads the vector.
func (c *chunk) DecodeScale(d *scale.Decoder) {
	n := d.Len(chunkSeats, seatBytes)
	*c = make(chunk, n)
	var b [seatBytes]byte
	for i := range *c {
		d.Fixed(b[:])
		s, at := &(*c)[i], 75
		copy(s.Worker[:], b[:])
		copy(s.Hash[:], b[32:])
		s.SessionID = binary.LittleEndian.Uint32(b[64:])
		s.Confidence, s.Unresponsive, s.Based = b[68], b[69] != 0, b[70] != 0
		s.Waiting = binary.LittleEndian.Uint32(b[71:])
		if b[69] > 1 || b[70] > 1 {
			d.Fail("a flag that is neither 0 nor 1")
		}
		for _, p := range [...]*uint64{&s.Since, &s.BeatAt, &s.PaidAt, &s.V.Frac, &s.V.Int, &s.Deductible.Frac, &s.Deductible.Int,
			&s.Bench.Frac, &s.Bench.Int, &s.Instant.Frac, &s.Instant.Int, &s.Iterations, &s.Counted} {
			*p = binary.LittleEndian.Uint64(b[at:])
			at += 8
		}
	}
}

// confidence is what a level is worth where pay is shared out.
func confidence(level uint8) fixed.U64F64 {
	switch level {
	case 1, 2, 3, 128:
		return fixed.One
	case 4:
		return conf4
	case 5:
		return conf5
	}
	return fixed.U64F64{}
}

// trust is what a level is worth at the start, where an unknown one counts in full.
func trust(level uint8) fixed.U64F64 {
	if level == 4 || level == 5 {
		return confidence(level)
	}
	return fixed.One
}

// minStake returns the least stake of a worker.
func (p *TokenomicParameters) minStake(score uint32) fixed.U64F64 {
	return p.K.Times(fixed.FromInt(uint64(score)).Sqrt())
}

// ve returns the V that a stake, a score and a level begin with.
func (p *TokenomicParameters) ve(stake fixed.U64F64, score uint32, level uint8) fixed.U64F64 {
	re := p.Re.Minus(fixed.One).Times(trust(level)).Plus(fixed.One)
	return re.Times(stake.Plus(p.RigK.Times(fixed.FromInt(uint64(score))).Plus(p.RigB)))
}

// share is the worker's weight when a budget is shared out.
func (s *seat) share() fixed.U64F64 {
	p := two.Times(s.Instant).Times(confidence(s.Confidence))
	return s.V.Times(s.V).Plus(p.Times(p)).Sqrt()
}

// idle is a block without a heartbeat.
func (s *seat) idle(p *TokenomicParameters) {
	pace := fixed.One
	if !s.Bench.IsZero() {
		pace = s.Instant.Over(s.Bench)
	}
	more := pace.Times(p.Rho.Minus(fixed.One).Times(s.V).Plus(p.CostK.Times(s.Bench).Plus(p.CostB)))
	s.V = s.V.Plus(more).Min(p.VMax)
	s.Deductible = s.Deductible.Plus(more)
}

// slash is a block of a worker that does not answer.
func (s *seat) slash(p *TokenomicParameters) {
	s.V = s.V.Minus(s.V.Times(p.SlashRate))
	s.Deductible = fixed.U64F64{}
}

// count takes a counter at a time in milliseconds, and makes P of it. A counter that fell begins anew: P is 0 once.
func (s *seat) count(iterations, now uint64) {
	if now > s.Counted {
		did := fixed.FromInt(iterations - min(s.Iterations, iterations))
		seconds := fixed.FromInt(now - s.Counted).Over(fixed.FromInt(1000))
		s.Instant = did.Times(six).Over(seconds).Min(s.Bench.Times(maxPace))
	}
	s.Iterations, s.Counted, s.Based = iterations, max(now, s.Counted), true
}

// due returns what a heartbeat earns: the worker's part, and the treasury's. sum is all shares as they were when the block began.
func (s *seat) due(p *TokenomicParameters, sum fixed.U64F64, height uint64) (pay, treasury fixed.U64F64) {
	if sum.IsZero() || height <= s.PaidAt {
		return pay, treasury
	}
	budget := s.share().Over(sum).Times(p.BudgetPerBlock).Times(fixed.FromInt(height - s.PaidAt))
	return budget.Times(fixed.One.Minus(p.TreasuryRatio)), budget.Times(p.TreasuryRatio)
}

// paid ends what began with the last pay: V gives back what it has grown, as far as that is paid.
func (s *seat) paid(pay fixed.U64F64, static bool, height uint64) {
	if !static {
		s.V = s.V.Minus(s.Deductible.Min(pay))
	}
	s.Deductible, s.PaidAt = fixed.U64F64{}, height
}

// recovered ends the time of which nothing is paid.
func (s *seat) recovered(height uint64) {
	s.Unresponsive, s.Deductible, s.PaidAt = false, fixed.U64F64{}, height
}
