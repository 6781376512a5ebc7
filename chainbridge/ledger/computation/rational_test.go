package computation

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/troupehost/troupe/chainbridge/ledger/fixed"
)

// The same economics once more, in rationals of any size. Only cut and root know of bits.
type rational struct {
	v, deductible, bench, instant *big.Rat
	conf                          *big.Rat
	iterations, counted           uint64
	paidAt                        uint64
}

func rat(a fixed.U64F64) *big.Rat {
	lo, hi := a.Bits()
	n := new(big.Int).SetUint64(hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(lo))
	return new(big.Rat).SetFrac(n, new(big.Int).Lsh(big.NewInt(1), 64))
}

// bitsOf returns how many steps of 2^-64 are in a number.
func bitsOf(r *big.Rat) *big.Int {
	n := new(big.Int).Lsh(r.Num(), 64)
	return n.Quo(n, r.Denom())
}

func cut(r *big.Rat) *big.Rat {
	return new(big.Rat).SetFrac(bitsOf(r), new(big.Int).Lsh(big.NewInt(1), 64))
}

func root(r *big.Rat) *big.Rat {
	return new(big.Rat).SetFrac(new(big.Int).Sqrt(bitsOf(r)), new(big.Int).Lsh(big.NewInt(1), 32))
}

func add(a, b *big.Rat) *big.Rat { return new(big.Rat).Add(a, b) }
func sub(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
func mul(a, b *big.Rat) *big.Rat { return cut(new(big.Rat).Mul(a, b)) }
func div(a, b *big.Rat) *big.Rat { return cut(new(big.Rat).Quo(a, b)) }
func least(a, b *big.Rat) *big.Rat {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}
func whole(n uint64) *big.Rat { return new(big.Rat).SetInt(new(big.Int).SetUint64(n)) }

func (m *rational) share() *big.Rat {
	p := mul(mul(whole(2), m.instant), m.conf)
	return root(add(mul(m.v, m.v), mul(p, p)))
}

func (m *rational) idle(p *TokenomicParameters) {
	growth := add(mul(sub(rat(p.Rho), whole(1)), m.v), add(mul(rat(p.CostK), m.bench), rat(p.CostB)))
	growth = mul(div(m.instant, m.bench), growth)
	m.v = least(add(m.v, growth), rat(p.VMax))
	m.deductible = add(m.deductible, growth)
}

func (m *rational) slash(p *TokenomicParameters) {
	m.v = sub(m.v, mul(m.v, rat(p.SlashRate)))
	m.deductible = whole(0)
}

func (m *rational) beat(p *TokenomicParameters, sum *big.Rat, iterations, now, height uint64, static, offline bool) (pay, tax *big.Rat) {
	pay, tax = whole(0), whole(0)
	if now > m.counted {
		did := uint64(0)
		if iterations > m.iterations {
			did = iterations - m.iterations
		}
		time := cut(new(big.Rat).SetFrac64(int64(now-m.counted), 1000))
		m.instant = least(div(mul(whole(did), whole(6)), time), mul(m.bench, rat(num("1.2"))))
		m.counted = now
	}
	m.iterations = iterations
	if offline {
		m.deductible, m.paidAt = whole(0), height
		return pay, tax
	}
	if sum.Sign() == 0 || height == m.paidAt {
		return pay, tax
	}
	budget := mul(mul(div(m.share(), sum), rat(p.BudgetPerBlock)), whole(height-m.paidAt))
	pay, tax = mul(budget, sub(whole(1), rat(p.TreasuryRatio))), mul(budget, rat(p.TreasuryRatio))
	if !static {
		m.v = sub(m.v, least(m.deductible, pay))
	}
	m.deductible, m.paidAt = whole(0), height
	return pay, tax
}

// Random lives of workers, reckoned twice, are the same to the last bit.
func TestW72SecondImplementation(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for life := range 200 {
		p := Defaults(12)
		if life%3 == 1 { // others
			p.Rho = fixed.One.Plus(fixed.FromBits(r.Uint64()>>r.IntN(40), 0))
			p.SlashRate = fixed.FromBits(r.Uint64()>>r.IntN(40), 0)
			p.CostK, p.CostB = fixed.FromBits(r.Uint64()>>r.IntN(60), 0), fixed.FromBits(r.Uint64(), r.Uint64N(3))
			p.TreasuryRatio, p.BudgetPerBlock = fixed.FromBits(r.Uint64(), 0), fixed.FromBits(r.Uint64(), r.Uint64N(1000))
		}
		bench := uint64(MinInitP + r.IntN(6000))
		level := []uint8{1, 4, 5, 128, 0}[r.IntN(5)]
		height, now := uint64(10), uint64(1_700_000_000_000)
		s := seat{V: fixed.FromBits(r.Uint64(), r.Uint64N(30_000)), Bench: fixed.FromInt(bench), Instant: fixed.FromInt(bench), Confidence: level, PaidAt: height, Counted: now}
		m := rational{rat(s.V), whole(0), whole(bench), whole(bench), rat(confidence(level)), 0, now, height}
		for step := range 300 {
			height++
			now += r.Uint64N(20_000)
			static, offline := r.IntN(4) == 0, r.IntN(6) == 0
			switch r.IntN(8) {
			case 0:
				s.slash(&p)
				m.slash(&p)
			case 1, 2:
				iterations := s.Iterations + r.Uint64N(bench*8)
				if r.IntN(8) == 0 {
					iterations = r.Uint64N(1 << 32)
				}
				others := fixed.FromBits(r.Uint64(), r.Uint64N(1_000_000))
				sum := s.share().Plus(others)
				wanted := add(m.share(), rat(others))
				if rat(sum).Cmp(wanted) != 0 {
					t.Fatalf("life %d, step %d: a share of %v", life, step, s.share())
				}
				s.count(iterations, now)
				var pay, tax fixed.U64F64
				if offline {
					s.recovered(height)
				} else if pay, tax = s.due(&p, sum, height); true {
					s.paid(pay, static, height)
				}
				wantPay, wantTax := m.beat(&p, wanted, iterations, now, height, static, offline)
				if rat(pay).Cmp(wantPay) != 0 || rat(tax).Cmp(wantTax) != 0 {
					t.Fatalf("life %d, step %d: paid %v and %v", life, step, pay, tax)
				}
			default:
				s.idle(&p)
				m.idle(&p)
			}
			for what, pair := range map[string][2]*big.Rat{"V": {rat(s.V), m.v}, "deductible": {rat(s.Deductible), m.deductible}, "P": {rat(s.Instant), m.instant}} {
				if pair[0].Cmp(pair[1]) != 0 {
					t.Fatalf("life %d, step %d: %s is %s, want %s", life, step, what, pair[0].FloatString(25), pair[1].FloatString(25))
				}
			}
		}
	}
}

// A day of blocks that are each cut off is within 1e-12 of what no cut would give.
func TestW72CutsStaySmall(t *testing.T) {
	p := Defaults(12)
	s := seat{V: num("3000"), Bench: fixed.FromInt(1000), Instant: fixed.FromInt(700)}
	const digits = 1 << 10 // of the exact one, which would grow without end
	exact, rate := new(big.Float).SetPrec(digits).SetInt64(3000), new(big.Float).SetPrec(digits).SetRat(sub(rat(p.Rho), whole(1)))
	cost := new(big.Float).SetPrec(digits).SetRat(add(new(big.Rat).Mul(rat(p.CostK), whole(1000)), rat(p.CostB)))
	pace := new(big.Float).SetPrec(digits).SetRat(big.NewRat(7, 10))
	for range 7200 {
		s.idle(&p)
		growth := new(big.Float).SetPrec(digits).Mul(rate, exact)
		growth.Add(growth, cost).Mul(growth, pace)
		exact.Add(exact, growth)
	}
	off := new(big.Float).SetPrec(digits).SetRat(rat(s.V))
	if off.Sub(exact, off); off.Sign() < 0 || off.Cmp(big.NewFloat(1e-12)) > 0 {
		t.Errorf("off by %v", off)
	}
}

func BenchmarkBlock(b *testing.B) {
	n, _ := started(b, rich, 1000, "100")
	one := n.look(workerKey(1))
	const workers = 5000
	for i := range uint16(workers - 1) {
		s := one
		s.Worker = [32]byte{'x', byte(i), byte(i >> 8)}
		sit(n.Store, s)
	}
	n.block()
	n.must(nil, "PhalaComputation.set_heartbeat_paused", SetHeartbeatPaused{false})
	for b.Loop() {
		n.block()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/workers, "ns/worker")
}

func BenchmarkHeartbeat(b *testing.B) {
	n, worker := started(b, rich, 1000, "100")
	for i := range byte(chunkSeats - 1) {
		s := n.look(worker)
		s.Worker = account('x', i)
		sit(n.Store, s)
	}
	n.block()
	for i := uint64(0); b.Loop(); i++ {
		n.seat(worker, func(s *seat) { s.Waiting, s.PaidAt = 1, 0 })
		n.heartbeat(worker, i)
	}
}
