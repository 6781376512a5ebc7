package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// Priority orders preparation and sets shares in execution. It can only rise. The zero value means Normal in requests.
type Priority uint8

// The priorities, lowest first.
const (
	Background Priority = 1 + iota
	Normal
	High
	Critical
)

var priorityNames = [...]string{"", "background", "normal", "high", "critical"}

// String returns the lower-case name.
func (p Priority) String() string {
	if p == 0 || int(p) >= len(priorityNames) {
		return fmt.Sprintf("priority(%d)", uint8(p))
	}
	return priorityNames[p]
}

// ParsePriority reads what String prints.
func ParsePriority(s string) (Priority, error) {
	for i, n := range priorityNames {
		if i > 0 && strings.EqualFold(n, s) {
			return Priority(i), nil
		}
	}
	return 0, fault.New(fault.CallerInvalid, "priority", fault.Quote(s), nil).WithHint("choose background, normal, high or critical")
}

// Mode is the kind of entry of a run.
type Mode uint8

// The modes. The zero value means: Command if the code exports _start, else the request is refused.
const (
	Command Mode = 1 + iota // WASI preview 1 command: _start, argv, env, stdin, stdout, stderr, exit code
	Invoke                  // any exported function over numbers
	Bytes                   // PVF manner: name(ptr i32, len i32) -> i64, which packs (len << 32) | ptr
)

// String returns the lower-case name.
func (m Mode) String() string {
	switch m {
	case Command:
		return "command"
	case Invoke:
		return "invoke"
	case Bytes:
		return "bytes"
	}
	return fmt.Sprintf("mode(%d)", uint8(m))
}

// Entry says how to enter the code.
type Entry struct {
	Mode Mode     `json:"mode"`
	Name string   `json:"name,omitempty"` // the export; of a Command the program's own name, default "guest"
	Args []string `json:"args,omitempty"` // argv after the program name (Command), or numbers as text (Invoke)
	Env  []string `json:"env,omitempty"`  // KEY=VALUE, Command only
}

// Limits is what a run may use. Zero means default; every limit holds by killing the worker if need be.
type Limits struct {
	CPU         time.Duration `json:"cpu"`          // CPU time of the worker process. Default 12 s. Range 1 ms to 24 h.
	Wall        time.Duration `json:"wall"`         // wall time from assignment to reply, but for time that the machine had no core for the worker, up to 3 times as much again. Default 4 x CPU. Range 1 ms to 7 days.
	MemoryBytes int64         `json:"memory_bytes"` // linear memory, whole pages of 64 KiB. Default 128 MiB. Range 64 KiB to 4 GiB - 64 KiB.
	OutputBytes int64         `json:"output_bytes"` // stdout + stderr + result bytes. Default 16 MiB. Range 1 byte to 1 GiB.
	Gas         int64         `json:"gas"`          // gas of the run, in units of about 0.01 ns; initialisation does not count. Default NoGasLimit. Range 1 to 2^62.
	InitGas     int64         `json:"init_gas"`     // gas of initialisation: the start function and _initialize. Default NoGasLimit. Range 1 to 2^62.
	StackValues int64         `json:"stack_values"` // parameters, locals and operands of all frames at once, and 4 for each; a v128 counts as two, and a function that calls nothing as 0. Default 65,536. Range 1,024 to 1,048,576.
}

// Defaults and ranges of Limits.
const (
	DefaultCPU         = 12 * time.Second
	WallFactor         = 4
	DefaultMemoryBytes = int64(128 << 20)
	DefaultOutputBytes = int64(16 << 20)
	PageBytes          = int64(64 << 10)
	MaxMemoryBytes     = int64(65535) * PageBytes // one page short of 4 GiB: the engine misbehaves at 65,536 pages
	MaxCPU             = 24 * time.Hour
	MaxWall            = 7 * 24 * time.Hour
	MinTime            = time.Millisecond
	MaxOutputBytes     = int64(1 << 30)
	NoGasLimit         = int64(0) // gas is counted all the same
	MaxGas             = int64(1) << 62
	DefaultStackValues = int64(64 << 10)
	MinStackValues     = int64(1 << 10)
	MaxStackValues     = int64(1 << 20)
)

// WithDefaults returns l with each zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	if l.CPU == 0 {
		l.CPU = DefaultCPU
	}
	if l.Wall == 0 {
		l.Wall = min(WallFactor*l.CPU, MaxWall)
	}
	if l.MemoryBytes == 0 {
		l.MemoryBytes = DefaultMemoryBytes
	}
	if l.OutputBytes == 0 {
		l.OutputBytes = DefaultOutputBytes
	}
	if l.StackValues == 0 {
		l.StackValues = DefaultStackValues
	}
	return l
}

// Validate reports the first field outside of its range (caller.invalid_request). Zero fields are in range.
func (l Limits) Validate() error {
	bad := func(field, why string) error {
		return fault.New(fault.CallerInvalid, "limits", field, nil).WithHint(field + " " + why)
	}
	switch {
	case l.CPU != 0 && (l.CPU < MinTime || l.CPU > MaxCPU):
		return bad("cpu", "must be between 1ms and 24h")
	case l.Wall != 0 && (l.Wall < MinTime || l.Wall > MaxWall):
		return bad("wall", "must be between 1ms and 168h")
	case l.MemoryBytes != 0 && (l.MemoryBytes < PageBytes || l.MemoryBytes > MaxMemoryBytes):
		return bad("memory", "must be between 64KiB and 4GiB less one page of 64KiB")
	case l.OutputBytes < 0 || l.OutputBytes > MaxOutputBytes:
		return bad("output", "must be between 1 byte and 1GiB")
	case l.Gas < 0 || l.Gas > MaxGas:
		return bad("gas", "must be between 1 and 4611686018427387904, or 0 for no limit")
	case l.InitGas < 0 || l.InitGas > MaxGas:
		return bad("init_gas", "must be between 1 and 4611686018427387904, or 0 for no limit")
	case l.StackValues != 0 && (l.StackValues < MinStackValues || l.StackValues > MaxStackValues):
		return bad("stack", "must be between 1024 and 1048576 values")
	}
	return nil
}

// Imports says what happens to an import that the host does not offer.
type Imports uint8

// The policies. The zero value means RefuseMissing.
const (
	RefuseMissing Imports = 1 + iota // the code is refused: guest.unknown_import
	TrapMissing                      // a missing function traps when it is called (the PVF way); other kinds are refused
)

// Determinism says which clock and random source the guest sees. The zero value means Deterministic.
type Determinism uint8

// The sources.
const (
	Deterministic Determinism = 1 + iota // a fixed clock that steps on each reading, a seeded random source
	RealWorld                            // the machine's clock and random source
	RealRuns                             // the first for initialisation, which is done once for many runs, and the second for the run itself
)

// String returns "deterministic", "real" or "real_runs".
func (d Determinism) String() string {
	switch d {
	case RealWorld:
		return "real"
	case RealRuns:
		return "real_runs"
	}
	return "deterministic"
}

// Isolation says what two runs may share. The zero value means Reset. Runs of different tenants, apps or artifacts never
// share a process.
type Isolation uint8

// The ways.
const (
	Reset   Isolation = 1 + iota // one process for runs of the same binding, which is put back to its beginning in between
	Process                      // each run has a process of its own, which ends with it
)

var isolationNames = [...]string{"", "reset", "process"}

// String returns "reset" or "process".
func (i Isolation) String() string {
	if int(i) >= len(isolationNames) {
		return fmt.Sprintf("isolation(%d)", uint8(i))
	}
	return isolationNames[max(i, Reset)]
}

// ParseIsolation reads what String prints; "" is Reset.
func ParseIsolation(s string) (Isolation, error) {
	switch s {
	case "", Reset.String():
		return Reset, nil
	case Process.String():
		return Process, nil
	}
	return 0, fault.New(fault.CallerInvalid, "isolation", fault.Quote(s), nil).WithHint("choose reset or process")
}

// NaNs names how a run treats the NaNs that arithmetic makes.
func NaNs(canonical bool) string {
	if canonical {
		return NaNCanonical
	}
	return NaNDefault
}

// The ways.
const (
	NaNDefault   = "default"   // as the processor makes them: sign and payload may differ between architectures
	NaNCanonical = "canonical" // each is the canonical one
)
