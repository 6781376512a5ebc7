package host

import (
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host/wire"
)

// Config is plain data. The zero value of a field means its default; Default returns all defaults spelled out.
// "Live: restart" means that a change takes effect with the next Start.
type Config struct {
	// Name of the host in logs and inspection. Default: "troupe". Unit: text. Range: 1 to 64 of [a-z0-9-]. Live: restart.
	Name string
	// DataDir holds both databases, the host key and the ballast. Default: none, must be set. Unit: path. Range: a
	// directory that is empty, missing or was made by a host. Live: restart.
	DataDir string
	// Owner is what another process learns who finds the directory taken: "serve", "run" or "embed". Default: "embed".
	// Unit: text. Range: 1 to 16 bytes. Live: restart.
	Owner string
	// Socket is the control socket that other processes are pointed to; the host itself does not listen. Default: "".
	// Unit: path. Range: at most 104 bytes. Live: restart.
	Socket string
	// WorkerPath names the troupe-worker program. Default: a registered worker.Main, else troupe-worker beside the
	// executable. Unit: path. Range: an executable file of the same build. Live: restart.
	WorkerPath string
	// Sandbox is what to do about layers of confinement that do not hold here: "default" starts with a lasting warning,
	// "strict" refuses to start. No policy asks for the layer cgroup. Default: "default". Unit: text. Range: default, strict.
	// Live: restart.
	Sandbox string
	// Tenant owns the runs of requests that name none. Default: "default". Unit: text. Range: 1 to 64 bytes. Live: restart.
	Tenant string

	// MaxCodeBytes limits code as given. Default: 32 MiB. Unit: bytes. Range: 1 KiB to 1 GiB. Live: restart.
	MaxCodeBytes int64
	// MaxInflatedBytes limits code after decompression. Default: 64 MiB. Unit: bytes. Range: 1 KiB to 1 GiB. Live: restart.
	MaxInflatedBytes int64
	// MaxInputBytes limits the input of a bytes entry. Default: 16 MiB. Unit: bytes. Range: 1 KiB to 1 GiB. Live: restart.
	MaxInputBytes int64

	// WasmFeatures says which features of WebAssembly code may use: names joined by commas, of which wasm2 and all stand for
	// sets, and a minus takes one away: "wasm2,tail-calls,-simd". The engine's exceptions are not safe: a host that allows them shows
	// the warning engine.exceptions. Default: "wasm2". Unit: text. Range: see wasm.ParseFeatures. Live: restart.
	WasmFeatures string
	// WasmCaps bounds the complexity of code before it is compiled: "body-bytes=524288,functions=200000". Default: for each cap
	// that is not named, that of wasm.Caps. Unit: text. Range: the names of CapNames, numbers from 1 on. Live: restart.
	WasmCaps string

	// PrepareCPU is the CPU budget of a preparation for an execution or a heads-up. Default: 360 s. Unit: time.
	// Range: 10 ms to 1 h. Live: restart.
	PrepareCPU time.Duration
	// PrecheckCPU is the CPU budget of a precheck. Default: 60 s. Unit: time. Range: 10 ms to 1 h. Live: restart.
	PrecheckCPU time.Duration
	// PrepareMemoryBytes limits a prepare worker. Default: 2 GiB. Unit: bytes. Range: 64 MiB to 64 GiB. Live: restart.
	PrepareMemoryBytes int64
	// PrepareWorkers is the number of preparations at once. Default: half of the cores, at least 1. Unit: processes.
	// Range: 1 to 1024. Live: restart.
	PrepareWorkers int
	// PrepareWorkersCritical is the number of preparations at once while critical ones wait. Default: the cores, at
	// least PrepareWorkers. Unit: processes. Range: PrepareWorkers to 1024. Live: restart.
	PrepareWorkersCritical int
	// PrepareQueue bounds the preparations that wait. Default: 256. Unit: jobs. Range: 1 to 1,000,000. Live: restart.
	PrepareQueue int
	// ExecuteWorkers is the number of execute worker processes. Default: 2 x cores. Unit: processes. Range: 1 to 4096.
	// Live: restart.
	ExecuteWorkers int
	// ExecuteWorkersCritical is the number of execute worker processes while critical runs wait. Default: ExecuteWorkers
	// and the cores. Unit: processes. Range: ExecuteWorkers to 4096. Live: restart.
	ExecuteWorkersCritical int
	// ExecuteQueue bounds the runs that wait. Default: 1024. Unit: runs. Range: 1 to 1,000,000. Live: restart.
	ExecuteQueue int
	// SpareWorkers is the number of execute worker processes that wait, confined and blank, for the next code to run, so that
	// its first run need not wait for a process. They are made after the start and come on top of ExecuteWorkers. Default: one
	// per core, at most ExecuteWorkers. Unit: processes. Range: 0 (default) to 4096; NoLimit means none. Live: restart.
	SpareWorkers int
	// WorkerIdle is how long an execute worker is kept without work. Default: 60 s. Unit: time. Range: 1 ms to 24 h.
	// Live: restart.
	WorkerIdle time.Duration

	// CrossCheck is how many runs are repeated on the engine's interpreter, in a process of low priority, one at a time, and
	// compared: gas, outcome and output must be the same, or the warning engine.cross_check stands until the host ends. Only runs of
	// Execute in the deterministic world that did not read stdin are; see troupe_cross_checks_total. Default: 0, none. Unit: runs
	// of 10,000, by chance. Range: 0 to 10,000. Live: restart.
	CrossCheck int
	// ClockStep is the resolution of the clocks of a guest in the real world: it reads whole steps, so that it can time nothing
	// finer. Sleeps are as exact as the machine is. Default: 100 us. Unit: time. Range: 1 ns to 1 s. Live: restart.
	ClockStep time.Duration

	// RetryCooldown is how long a preparation that failed for what may be the machine's fault is not tried again. Default:
	// 15 min. Unit: time. Range: 1 ms to 24 h. Live: restart.
	RetryCooldown time.Duration
	// Retries is how often such a preparation is tried again, and a job after faults of the host. Default: 5. Unit: tries.
	// Range: 0 (default) to 1000; NoLimit means always for preparations, and the default for jobs. Live: restart.
	Retries int
	// ForgiveSuspects says that a run which was suspect twice does not count against its code. Default: false. Unit: yes or
	// no. Range: any. Live: restart.
	ForgiveSuspects bool
	// QuarantineAfter is how many runs in a row must count against a code before it is refused. Default: 3. Unit: runs.
	// Range: 0 (default) to 1000; NoLimit means never. Live: restart.
	QuarantineAfter int
	// Quarantine is how long such code is refused. Default: 15 min. Unit: time. Range: 1 ms to 24 h. Live: restart.
	Quarantine time.Duration

	// JobQueue bounds the jobs that are not settled and, for themselves, the settled ones that are kept. Default: 100,000.
	// Unit: jobs. Range: 1 to 10,000,000. Live: restart.
	JobQueue int
	// JobKeep is how long a settled job and its result are kept, unless newer ones push it out: beyond JobQueue of them, or
	// JobBytes. Default: 24 h. Unit: time. Range: 1 s to 1 year. Live: restart.
	JobKeep time.Duration
	// JobBytes bounds what all jobs and the warm-up list take on disk: code, input, results. Default: 1 GiB. Unit: bytes.
	// Range: 1 MiB to 1 TiB. Live: restart.
	JobBytes int64
	// HoldJobs says that queued jobs wait for another host on the directory: for hosts that live for one request. Default:
	// false. Unit: yes or no. Range: any. Live: restart.
	HoldJobs bool
	// MaxWarm limits the warm-up list of a tenant, whose artifacts are pinned. Default: 64, at most MaxPins. Unit: codes.
	// Range: 1 to MaxPins. Live: restart.
	MaxWarm int

	// CacheBytes limits the stored artifacts. Default: 10 GiB. Unit: bytes. Range: 1 MiB to 16 TiB. Live: restart.
	CacheBytes int64
	// CacheAge is how long an artifact is kept that nobody needed. Default: 30 days. Unit: time. Range: 1 min to 10 years.
	// Live: restart.
	CacheAge time.Duration
	// PruneEvery is the time between two looks at size and age. Default: 1 h. Unit: time. Range: 1 s to 24 h. Live: restart.
	PruneEvery time.Duration
	// CacheMemoryBytes limits the sealed memory files that are kept ready. Default: the smaller of 1/4 of memory and
	// 1 GiB. Unit: bytes. Range: 1 MiB to 1 TiB. Live: restart.
	CacheMemoryBytes int64
	// BallastBytes is the size of a file that is given up when others fill the disk. Default: 64 MiB. Unit: bytes.
	// Range: 0 (default) to 16 GiB; NoLimit means none. Live: restart.
	BallastBytes int64
	// MaxPins limits the pins of a tenant. Default: 64. Unit: artifacts. Range: 1 to 1,000,000. Live: restart.
	MaxPins int

	// Apps is what deployed apps are allowed. Default: see AppConfig. Unit: settings. Range: see there. Live: restart.
	Apps AppConfig
	// Chain is what the host has to do with a chain. Default: nothing. Unit: settings. Range: see there. Live: restart.
	Chain ChainConfig

	// RecordBytes is how much the host keeps in memory of what its cores were given, for a replay. Default: 0, it records nothing.
	// Unit: bytes. Range: 0, or 1 MiB to 1 GiB. Live: restart.
	RecordBytes int64
	// StopTimeout bounds Close: after it, workers are killed. Default: 10 s. Unit: time. Range: 1 ms to 1 h. Live: restart.
	StopTimeout time.Duration
	// Log receives the host's log. Default: silent. Unit: a logger. Range: any. Live: restart.
	Log zerolog.Logger `json:"-"`
}

// NoLimit spells "no limit" where a field allows it.
const NoLimit = -1

// Default returns the defaults of this machine. DataDir is left empty.
func Default() Config {
	cores := runtime.NumCPU()
	return Config{
		Name: "troupe", Owner: "embed", Sandbox: SandboxDefault, Tenant: "default",
		MaxCodeBytes: 32 << 20, MaxInflatedBytes: 64 << 20, MaxInputBytes: 16 << 20,
		PrepareCPU: 360 * time.Second, PrecheckCPU: 60 * time.Second, PrepareMemoryBytes: 2 << 30,
		PrepareWorkers: max(1, cores/2), PrepareWorkersCritical: max(1, cores), PrepareQueue: 256,
		ExecuteWorkers: 2 * cores, ExecuteWorkersCritical: 3 * cores, ExecuteQueue: 1024, SpareWorkers: cores, WorkerIdle: 60 * time.Second,
		ClockStep:     100 * time.Microsecond,
		RetryCooldown: 15 * time.Minute, Retries: 5, QuarantineAfter: 3, Quarantine: 15 * time.Minute,
		JobQueue: 100_000, JobKeep: 24 * time.Hour, JobBytes: 1 << 30, MaxWarm: 64,
		CacheBytes: 10 << 30, CacheAge: 30 * 24 * time.Hour, PruneEvery: time.Hour,
		CacheMemoryBytes: min(memoryBytes()/4, 1<<30), BallastBytes: 64 << 20, MaxPins: 64,
		Apps:        defaultApps(),
		Chain:       defaultChain(),
		StopTimeout: 10 * time.Second, Log: zerolog.Nop(),
	}
}

// withDefaults returns c with zero fields replaced.
func (c Config) withDefaults() Config {
	d := Default()
	orText := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	orBytes := func(p *int64, v int64) {
		if *p == 0 {
			*p = v
		}
	}
	orTime := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	orNum := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	orText(&c.Name, d.Name)
	orText(&c.Owner, d.Owner)
	orText(&c.Tenant, d.Tenant)
	orText(&c.Sandbox, d.Sandbox)
	orBytes(&c.MaxCodeBytes, d.MaxCodeBytes)
	orBytes(&c.MaxInflatedBytes, max(d.MaxInflatedBytes, c.MaxCodeBytes))
	orBytes(&c.MaxInputBytes, d.MaxInputBytes)
	orTime(&c.PrepareCPU, d.PrepareCPU)
	orTime(&c.PrecheckCPU, min(d.PrecheckCPU, c.PrepareCPU))
	orBytes(&c.PrepareMemoryBytes, d.PrepareMemoryBytes)
	orNum(&c.PrepareWorkers, d.PrepareWorkers)
	orNum(&c.PrepareWorkersCritical, max(d.PrepareWorkersCritical, c.PrepareWorkers))
	orNum(&c.PrepareQueue, d.PrepareQueue)
	orNum(&c.ExecuteWorkers, d.ExecuteWorkers)
	orNum(&c.ExecuteWorkersCritical, max(c.ExecuteWorkers, min(c.ExecuteWorkers+runtime.NumCPU(), maxExecuteWorkers)))
	orNum(&c.ExecuteQueue, d.ExecuteQueue)
	orNum(&c.SpareWorkers, min(d.SpareWorkers, c.ExecuteWorkers))
	orTime(&c.ClockStep, d.ClockStep)
	orTime(&c.RetryCooldown, d.RetryCooldown)
	orNum(&c.Retries, d.Retries)
	orNum(&c.QuarantineAfter, d.QuarantineAfter)
	orTime(&c.Quarantine, d.Quarantine)
	orNum(&c.JobQueue, d.JobQueue)
	orTime(&c.JobKeep, d.JobKeep)
	orBytes(&c.JobBytes, d.JobBytes)
	orTime(&c.WorkerIdle, d.WorkerIdle)
	orBytes(&c.CacheBytes, d.CacheBytes)
	orTime(&c.CacheAge, d.CacheAge)
	orTime(&c.PruneEvery, d.PruneEvery)
	orBytes(&c.CacheMemoryBytes, d.CacheMemoryBytes)
	orBytes(&c.BallastBytes, d.BallastBytes)
	orNum(&c.MaxPins, d.MaxPins)
	orNum(&c.MaxWarm, min(d.MaxWarm, c.MaxPins))
	c.Apps, c.Chain = c.Apps.withDefaults(), c.Chain.withDefaults()
	orTime(&c.StopTimeout, d.StopTimeout)
	return c
}

// Validate reports the first field outside of its range, with class caller. It changes nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	bad := func(field, why string) error {
		return fault.New(fault.CallerConfig, "config", field, nil).WithHint(field + " " + why)
	}
	type num struct {
		field    string
		v        int64
		min, max int64
		unit     string
	}
	for _, f := range []num{
		{"MaxCodeBytes", c.MaxCodeBytes, 1 << 10, 1 << 30, "bytes"},
		{"MaxInflatedBytes", c.MaxInflatedBytes, 1 << 10, 1 << 30, "bytes"},
		{"MaxInputBytes", c.MaxInputBytes, 1 << 10, 1 << 30, "bytes"},
		{"PrepareMemoryBytes", c.PrepareMemoryBytes, 64 << 20, 64 << 30, "bytes"},
		{"PrepareWorkers", int64(c.PrepareWorkers), 1, 1024, "processes"},
		{"PrepareWorkersCritical", int64(c.PrepareWorkersCritical), int64(c.PrepareWorkers), 1024, "processes"},
		{"PrepareQueue", int64(c.PrepareQueue), 1, 1e6, "jobs"},
		{"ExecuteWorkers", int64(c.ExecuteWorkers), 1, maxExecuteWorkers, "processes"},
		{"ExecuteWorkersCritical", int64(c.ExecuteWorkersCritical), int64(c.ExecuteWorkers), maxExecuteWorkers, "processes"},
		{"ExecuteQueue", int64(c.ExecuteQueue), 1, 1e6, "runs"},
		{"SpareWorkers", int64(c.SpareWorkers), NoLimit, maxExecuteWorkers, "processes"},
		{"RecordBytes", c.RecordBytes, 0, 1 << 30, "bytes"},
		{"CrossCheck", int64(c.CrossCheck), 0, checksPer, "runs of 10,000"},
		{"Retries", int64(c.Retries), NoLimit, 1000, "tries"},
		{"QuarantineAfter", int64(c.QuarantineAfter), NoLimit, 1000, "runs"},
		{"JobQueue", int64(c.JobQueue), 1, 1e7, "jobs"},
		{"JobBytes", c.JobBytes, 1 << 20, 1 << 40, "bytes"},
		{"MaxWarm", int64(c.MaxWarm), 1, int64(c.MaxPins), "codes"},
		{"CacheBytes", c.CacheBytes, 1 << 20, 16 << 40, "bytes"},
		{"CacheMemoryBytes", c.CacheMemoryBytes, 1 << 20, 1 << 40, "bytes"},
		{"BallastBytes", c.BallastBytes, NoLimit, 16 << 30, "bytes"},
		{"MaxPins", int64(c.MaxPins), 1, 1e6, "artifacts"},
	} {
		if f.v < f.min || f.v > f.max {
			return bad(f.field, fmt.Sprintf("is %d, must be between %d and %d %s", f.v, f.min, f.max, f.unit))
		}
	}
	type dur struct {
		field       string
		v, min, max time.Duration
	}
	for _, f := range []dur{
		{"PrepareCPU", c.PrepareCPU, 10 * time.Millisecond, time.Hour},
		{"PrecheckCPU", c.PrecheckCPU, 10 * time.Millisecond, time.Hour},
		{"WorkerIdle", c.WorkerIdle, time.Millisecond, 24 * time.Hour},
		{"ClockStep", c.ClockStep, time.Nanosecond, wire.MaxClockStep},
		{"RetryCooldown", c.RetryCooldown, time.Millisecond, 24 * time.Hour},
		{"Quarantine", c.Quarantine, time.Millisecond, 24 * time.Hour},
		{"JobKeep", c.JobKeep, time.Second, 366 * 24 * time.Hour},
		{"CacheAge", c.CacheAge, time.Minute, 10 * 366 * 24 * time.Hour},
		{"PruneEvery", c.PruneEvery, time.Second, 24 * time.Hour},
		{"StopTimeout", c.StopTimeout, time.Millisecond, time.Hour},
	} {
		if f.v < f.min || f.v > f.max {
			return bad(f.field, fmt.Sprintf("is %v, must be between %v and %v", f.v, f.min, f.max))
		}
	}
	switch {
	case c.DataDir == "":
		return bad("DataDir", "must be set")
	case c.RecordBytes > 0 && c.RecordBytes < 1<<20:
		return bad("RecordBytes", "must be 0, or at least 1 MiB")
	case !validName(c.Name):
		return bad("Name", "must be 1 to 64 of a-z, 0-9 and -")
	case len(c.Owner) > 16:
		return bad("Owner", "must be at most 16 bytes")
	case len(c.Socket) > 104:
		return bad("Socket", "must be at most 104 bytes, the limit of Unix sockets")
	case len(c.Tenant) > MaxTenantBytes:
		return bad("Tenant", "must be at most 64 bytes")
	case c.Sandbox != SandboxDefault && c.Sandbox != SandboxStrict:
		return bad("Sandbox", "must be default or strict")
	case c.PrecheckCPU > c.PrepareCPU:
		return bad("PrecheckCPU", "must not exceed PrepareCPU")
	}
	if _, err := ParsePolicy(c.WasmFeatures, c.WasmCaps); err != nil {
		return err
	}
	if err := c.Chain.validate(); err != nil {
		return err
	}
	return c.Apps.validate()
}

const maxExecuteWorkers = 4096

// MaxTenantBytes bounds the name of a tenant.
const MaxTenantBytes = 64

func validName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

// Request asks for one execution.
type Request struct {
	// Code is the module, maybe zstd-compressed behind the PVF magic prefix. The host copies it; the caller may reuse it.
	Code []byte
	// CodeHash names code that the host knows already, instead of Code. Unknown code: caller.not_found.
	CodeHash string
	// Tenant owns the run. Default: Config.Tenant.
	Tenant string
	// Priority of preparation and execution. Default: Normal.
	Priority run.Priority
	// Entry says how to enter the code. Default: Command if it exports _start.
	Entry run.Entry
	// Limits of the run. Default: see run.Limits.
	Limits run.Limits
	// Imports is the policy for imports that the host does not offer. Default: RefuseMissing.
	Imports run.Imports
	// Determinism chooses the guest's clock and random source. Default: Deterministic.
	Determinism run.Determinism
	// Isolation says what runs of the same code, tenant and memory limit may share: a process that is reset in between, or
	// nothing. Default: Reset.
	Isolation run.Isolation
	// CanonicalNaNs makes every NaN that arithmetic makes the canonical one, so that floats agree between architectures. Code
	// that computes with floats is slower; it is another artifact. Default: false.
	CanonicalNaNs bool
	// Validity is a tag that Revoke can name: then the request is answered canceled.revoked, wherever it waits. Default:
	// none. At most 128 bytes.
	Validity string
	// Input is handed to a bytes entry. It is not copied and must not change until Execute returns.
	Input []byte
	// Stdin feeds a command; nil means end of file. A read that blocks is the guest waiting, and counts as wall time.
	// A Read that still blocks when the run ends is abandoned; its bytes are lost.
	Stdin io.Reader
	// Stdout and Stderr receive output while the guest runs; nil captures it into the receipt. They are not called at the
	// same time, and not after Execute returned; a Write that still blocks a second after the run ended is abandoned.
	Stdout, Stderr io.Writer

	app *appRun // nil: bare code
}

// appRun is what makes a run one of an app.
type appRun struct {
	address string
	calls   run.Calls // nil: the code can ask for nothing
	slice   int64     // of execute.Job

	now   func() time.Duration
	began atomic.Int64 // when a worker was given it, in the host's life; 0: none was
}

// begin takes note that a worker is given the run.
func (a *appRun) begin() {
	if a != nil {
		a.began.CompareAndSwap(0, max(1, int64(a.now())))
	}
}

// withdraw takes begin back: the worker did not take it.
func (a *appRun) withdraw() {
	if a != nil {
		a.began.Store(0)
	}
}

// of returns the address, "" for bare code.
func (a *appRun) of() string {
	if a == nil {
		return ""
	}
	return a.address
}

// served returns who serves what the run asks, and the gas after which it asks for its turn.
func (a *appRun) served() (run.Calls, int64) {
	if a == nil || a.calls == nil {
		return nil, 0
	}
	return a.calls, a.slice
}
