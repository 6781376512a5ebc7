package pool

import (
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/abi"
	"github.com/troupehost/troupe/host/wire"
)

// asking is a run of a worker that asks as no honest one does.
func (l *liar) asking(c wire.Call) {
	done := wire.Finished{Run: c.Run, GasUsed: 500, MemoryPeakBytes: 1 << 20}
	tip := wire.Ask{Op: uint16(abi.OpTip), Nums: []int64{1}, Gas: 100, MemoryBytes: 1 << 16}
	// asks sends a question and waits for its answer.
	asks := func(m wire.Ask) {
		l.say(m)
		if _, ok := l.next().(wire.Answer); !ok {
			l.sleep()
		}
	}
	other := tip
	switch l.mode {
	case "ask: well":
		asks(tip)
		asks(wire.Ask{Op: uint16(abi.OpTurn), Gas: 100, MemoryBytes: 1 << 16})
	case "ask: twice":
		_, _ = l.ring.Send(tip), l.ring.Send(tip)
		l.ring.Flush()
		l.sleep()
	case "ask: and ends":
		_, _ = l.ring.Send(tip), l.ring.Send(done)
		l.ring.Flush()
		l.sleep()
	case "ask: and writes":
		_, _ = l.ring.Send(tip), l.ring.Send(wire.Output{Data: []byte("x")})
		l.ring.Flush()
		l.sleep()
	case "ask: while it reads":
		_, _ = l.ring.Send(wire.NeedStdin{Max: 1}), l.ring.Send(tip)
		l.ring.Flush()
		l.sleep()
	case "ask: gas back":
		asks(tip)
		other.Gas--
		asks(other)
	case "ask: gas over its limit":
		other.Gas = 1501 // of both phases
		asks(other)
	case "ask: less gas at the end":
		asks(tip)
		done.GasUsed = tip.Gas - 1
	case "ask: memory back":
		asks(tip)
		other.MemoryBytes--
		asks(other)
	case "ask: memory over its limit":
		other.MemoryBytes = run.MaxMemoryBytes
		asks(other)
	case "ask: less memory at the end":
		asks(tip)
		done.MemoryPeakBytes = 1
	case "ask: no such function":
		other.Op = uint16(abi.OpGasLeft)
		asks(other)
	case "ask: other parameters":
		other.Op = uint16(abi.OpKVPut)
		asks(other)
	case "ask: huge room":
		asks(wire.Ask{Op: uint16(abi.OpFact), Nums: []int64{1, abi.MaxBytes + 1}, Gas: 100})
	case "ask: huge counts":
		l.raw(8, 0, 0, 0, byte(wire.TypeAsk), byte(abi.OpTip), 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)
		l.next()
	case "ask: after the end":
		l.say(done)
		l.say(tip)
		l.sleep()
	case "ask: exits":
		l.say(tip)
		_, _ = unix.Poll(nil, 20)
		unix.Exit(3)
	case "ask: spins":
		l.say(tip)
		l.spin()
	case "ask: deaf":
		asks(tip)
		runtime.LockOSThread()
		l.sleep()
	case "ask: for ever":
		for {
			asks(tip)
		}
	}
	l.say(done)
}
