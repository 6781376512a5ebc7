package guest

import (
	"encoding/binary"
	"math"
	"time"
)

// What an app may know.
const (
	factAddress       = 1
	factAppSession    = 2
	factWorkerKey     = 3
	factWorkerSession = 4
	factInstance      = 5
	factLabel         = 6
	factConfig        = 7
	factStorage       = 8
	factBlockTime     = 9
)

func fact(which uint32) ([]byte, error) {
	return sized(64, func(p *byte, room uint32, size *uint64) uint32 { return sysFact(which, p, room, size) })
}

func fact32(which uint32) (out [32]byte, err error) {
	b, err := fact(which)
	if err == nil && copy(out[:], b) < len(out) {
		err = ErrEncoding
	}
	return out, err
}

func factNumbers(which uint32, out ...*uint64) error {
	b, err := fact(which)
	if err != nil {
		return err
	}
	if len(b) != 8*len(out) {
		return ErrEncoding
	}
	for i, p := range out {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	return nil
}

// Address names the app.
func Address() ([32]byte, error) { return fact32(factAddress) }

// AppSession is another one after each deployment.
func AppSession() ([32]byte, error) { return fact32(factAppSession) }

// WorkerKey is the public key that verifies what Sign signs.
func WorkerKey() ([32]byte, error) { return fact32(factWorkerKey) }

// WorkerSession is the session of the host.
func WorkerSession() ([32]byte, error) { return fact32(factWorkerSession) }

// Instance is the number of this instance.
func Instance() (n uint64, err error) {
	err = factNumbers(factInstance, &n)
	return n, err
}

// Label is what the manifest calls the app.
func Label() (string, error) {
	b, err := fact(factLabel)
	return string(b), err
}

// Config is what the deployment was given.
func Config() ([]byte, error) { return fact(factConfig) }

// Storage tells how much of the key-value space is used.
func Storage() (used, quota uint64, err error) {
	err = factNumbers(factStorage, &used, &quota)
	return used, quota, err
}

// BlockTime is that of the newest block of the chain, or ErrNotFound without one.
func BlockTime() (time.Time, error) {
	var ms uint64
	err := factNumbers(factBlockTime, &ms)
	return time.UnixMilli(int64(min(ms, math.MaxInt64))), err
}

// Sign signs as this app: what is signed begins with its address.
func Sign(data []byte) (signature [64]byte, err error) {
	return signature, failure(sysSign(place(data), length(data), &signature[0], 64))
}

// DeriveSecret returns the secret of a path, which is the same after a restart and another one for each app.
func DeriveSecret(path []byte) (secret [64]byte, err error) {
	return secret, failure(sysDeriveSecret(place(path), length(path), &secret[0], 64))
}

// Quote returns what proves to others where the app runs. No host can today: it fails with ErrUnsupported.
func Quote(data []byte) ([]byte, error) {
	return sized(8<<10, func(p *byte, room uint32, size *uint64) uint32 {
		return sysQuote(place(data), length(data), p, room, size)
	})
}

// Tip adds to what the app pays.
func Tip(amount uint64) error { return failure(sysTip(amount)) }

// GasToken returns the gas of the app session and a token of its own in the sequence of the host's reports.
func GasToken() (gas uint64, token [72]byte, err error) {
	err = failure(sysGasToken(&gas, &token[0], 72))
	return gas, token, err
}

// GasLeft is what the run may still use; math.MaxUint64: there is no limit.
func GasLeft() (gas uint64, err error) {
	return gas, failure(sysGasLeft(&gas))
}

// Level says how much a line of the log matters.
type Level uint32

// The levels.
const (
	LevelError Level = 1
	LevelWarn  Level = 2
	LevelInfo  Level = 3
	LevelDebug Level = 4
	LevelTrace Level = 5
)

// Log writes to the app's log. It cannot fail: what there is no room for is counted there.
func Log(level Level, line string) {
	line = line[:min(len(line), MaxBytes)]
	_ = sysLog(uint32(level), text(line), length(line))
}
