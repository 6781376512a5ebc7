package wasm

import "math/bits"

// work is what a body costs the compiler beyond its bytes, as far as that can be told at its blocks and branches alone: the
// instructions between them cost the walk nothing more.
//
// The compiler makes a variable of a local wherever two ways with different values of it meet (a phi). It goes over all of these
// again and again, the more often the deeper loops are nested, and it looks at each argument of a branch once for each other
// argument: phiWork. And it finds the value of a local by going back block by block to where it was set, up to the last place
// where ways met: lookups.
type work struct {
	loops     int
	loopDepth int // loops that are open
	deepest   int
	chain     int // blocks on the way back to the last place where ways met
	since     int // offset of the last block or branch
	lookups   int
}

// phiWork returns locals^2 * ((controls+targets) * passes + 2*loops*locals). The passes are 16; where there are loops as many more
// as there are locals, since a loop that hands each local to the next has the compiler look once more for each, or 16 for each loop
// within another if that is more.
func (v *validator) phiWork() int {
	locals, passes := len(v.locals), 16
	if v.loops > 0 {
		passes += max(locals, 16*v.deepest)
	}
	return product(locals*locals, product(v.controls+v.targets, passes)+2*v.loops*locals)
}

// product multiplies what is not negative; too much is the largest number.
func product(a, b int) int {
	high, low := bits.Mul64(uint64(a), uint64(b))
	if high != 0 || low > 1<<62 {
		return 1 << 62
	}
	return int(low)
}

// passed adds what the instructions since the last block or branch look up: at most one local for two bytes.
func (v *validator) passed() {
	v.lookups = min(v.lookups+product(v.chain, (v.at-v.since)/2), 1<<62)
	v.since = v.at
}

// meet adds what it takes to find all locals at the end of n branches from here.
func (v *validator) meet(n int) {
	if v.live {
		v.lookups = min(v.lookups+product(n, product(v.chain, len(v.locals))), 1<<62)
	}
}

// join is a branch from here to the end of a block, or to the head of a loop.
func (v *validator) join(f *frame) {
	if v.live {
		v.meet(1)
		f.joined = true
	}
}

// enter is told of a block before it is opened.
func (v *validator) enter(op byte) {
	v.passed()
	if op == opLoop {
		v.meet(1)
		v.chain = 0
		v.loops++
		v.loopDepth++
		v.deepest = max(v.deepest, v.loopDepth)
	}
}

// leave is told of the end of a block, and of that of the first arm of an if.
func (v *validator) leave(f *frame) {
	v.passed()
	switch f.op {
	case opLoop:
		v.loopDepth--
		return
	case opIf:
		v.join(f)
		v.chain = f.chain // of the way that does not enter, or of the other arm
		if v.code[v.at] == opElse {
			v.chain++
			return
		}
		f.joined = true
	}
	if f.joined {
		v.meet(1)
		v.chain = 0
	}
}

// settle holds the work of a body that was walked, and the sums of all, against the caps.
func (v *validator) settle() bool {
	shape, caps := &v.shape().Caps, &v.caps
	phi := v.phiWork()
	v.squares += v.controls * v.controls
	v.phiSum = min(v.phiSum+phi, 1<<62)
	targets, carried := shape.TotalBranchTargets+v.targets, shape.TotalCarried+v.carried
	return v.within("phi-work", &shape.PhiWork, phi, caps.PhiWork, v.at) &&
		v.within("lookups", &shape.Lookups, v.lookups, caps.Lookups, v.at) &&
		v.within("control-squares", &shape.ControlSquares, v.squares-squaresPerByte*v.codeBytes, caps.ControlSquares, v.at) &&
		v.within("total-phi-work", &shape.TotalPhiWork, v.phiSum-phiWorkPerByte*v.codeBytes, caps.TotalPhiWork, v.at) &&
		v.within("total-lookups", &shape.TotalLookups, shape.TotalLookups+v.lookups, caps.TotalLookups, v.at) &&
		v.within("total-branch-targets", &shape.TotalBranchTargets, targets, caps.TotalBranchTargets, v.at) &&
		v.within("total-carried", &shape.TotalCarried, carried, caps.TotalCarried, v.at)
}
