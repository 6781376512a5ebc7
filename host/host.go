package host

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/cache"
	"github.com/troupehost/troupe/actors/execute"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/jobs"
	"github.com/troupehost/troupe/actors/kernel"
	"github.com/troupehost/troupe/actors/prepare"
	"github.com/troupehost/troupe/actors/record"
	"github.com/troupehost/troupe/artifacts"
	"github.com/troupehost/troupe/artifacts/blob"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/sealed"
	"github.com/troupehost/troupe/artifacts/store"
	"github.com/troupehost/troupe/host/internal/backup"
	"github.com/troupehost/troupe/host/internal/fetch"
	"github.com/troupehost/troupe/host/internal/lanes"
	"github.com/troupehost/troupe/host/internal/logs"
	"github.com/troupehost/troupe/host/internal/metrics"
	"github.com/troupehost/troupe/host/internal/pool"
	"github.com/troupehost/troupe/host/internal/watch"
)

// Version is the version of Troupe.
const Version = "0.1.0"

// idleCodeBytes bounds the code that is kept for later requests by hash, in bytes.
const idleCodeBytes = 64 << 20

// maxRequests bounds the requests that are not answered, unless the queues alone hold more.
const maxRequests = 16384

// Host is a running host.
type Host struct {
	cfg     Config
	log     zerolog.Logger
	lines   *logs.Ring
	rates   *watch.Sampler
	started time.Time
	boot    string
	pauses  pauses // of queues, by operators
	health  *health
	metrics *metrics.Set

	dir      *db.Dir
	store    *store.Store
	kept     *storePort
	warm     *warmList
	pool     *pool.Pool
	codes    *codeTable
	parts    *handoff
	runs     *runTable
	terms    *termTable
	lanes    *lanes.Table
	system   *kernel.System
	recorder *record.Recorder // nil: nothing is recorded

	prepare kernel.Ref[prepare.Message]
	execute kernel.Ref[execute.Message]
	cache   kernel.Ref[cache.Message]
	jobs    kernel.Ref[jobs.Message]

	apps     *apps
	sources  *fetch.Fetcher          // nil: there is no chain
	placed   *placements             // nil: compute requests are served by somebody else, or not
	chain    atomic.Pointer[chained] // nil: there is none
	paused   chainPause
	backups  backups
	blobs    *blob.Store
	journal  *journal
	jobIDs   *jobIDs
	watchers atomic.Uint64

	life     context.Context // ends when the host stops waiting for what runs
	end      context.CancelFunc
	beside   sync.WaitGroup // what the host does beside its actors, until life ends
	checks   *crossChecks   // nil: none
	programs *programs
	mismatch chan *fault.Error // a worker of another build was met

	gate    *gate // of requests; shut when the host drains
	closing sync.Once
	leaving sync.Once
	left    chan struct{} // closed: no job is waited for
	done    chan struct{}
	err     error // why the host ended; valid once done is closed
}

// Owner is who holds a data directory.
type Owner = db.Owner

// ReadOwner tells who holds a data directory, if its holder has said so.
func ReadOwner(dataDir string) (Owner, bool) { return db.ReadOwner(dataDir) }

// CheckDataDir says why Start would refuse a directory before it opens a file there.
func CheckDataDir(dataDir string) error { return db.CheckDir(dataDir) }

// Start starts a host on a data directory. ctx bounds the start only.
//
// # Errors
//
// caller.invalid_config, host.unsupported, host.data_dir_unwritable, host.data_dir_untrusted, host.data_dir_newer, host.data_dir_locked,
// host.data_dir_corrupt, host.disk_full, host.disk_io, host.worker_missing, host.worker_mismatch, host.spawn_failed,
// host.engine_self_test, host.sandbox_missing.
func Start(ctx context.Context, cfg Config) (_ *Host, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if runtime.GOOS != "linux" {
		return nil, fault.New(fault.HostUnsupported, "start", runtime.GOOS, nil)
	}
	cfg = cfg.withDefaults()
	lines := keepLog(&cfg)
	policy, err := ParsePolicy(cfg.WasmFeatures, cfg.WasmCaps)
	if err != nil {
		return nil, err
	}
	h := &Host{cfg: cfg, lines: lines, started: time.Now(), boot: newBoot(), health: newHealth(time.Now), metrics: metrics.New(),
		codes: newCodeTable(idleCodeBytes, openFiles()/8), parts: newHandoff(), runs: newRunTable(), terms: newTermTable(),
		gate: newGate(), left: make(chan struct{}), done: make(chan struct{}), mismatch: make(chan *fault.Error, 1)}
	h.rates = watch.New(func(use func(path string, accepted, handled, refused uint64)) { h.system.Totals(use) })
	h.lanes = lanes.New(lanes.Config{Report: h.reportUse})
	h.life, h.end = context.WithCancel(context.WithoutCancel(ctx))
	h.log = cfg.Log.With().Str("host", cfg.Name).Logger()
	defer func() {
		if err != nil {
			h.release(ctx)
		}
	}()
	h.dir, err = db.OpenDir(db.DirConfig{Path: cfg.DataDir, Owner: Owner{PID: pid(), Kind: cfg.Owner, Socket: cfg.Socket}, Version: Version,
		BallastBytes: max(cfg.BallastBytes, 0), FS: timedCommits(h.metrics), Log: h.log})
	if err != nil {
		return nil, err
	}
	if err := backup.Sweep(cfg.DataDir); err != nil {
		h.log.Warn().Err(err).Msg("what a backup that was cut short left is still there")
	}
	for _, n := range h.dir.Notes {
		h.health.set(string(n.Code), n.Error(), n.Hint)
	}
	h.health.showBallast(h.dir.Space.Status())
	// The pool is proved before the store is opened, since its probe says which build the store serves.
	ports := &artifactPort{}
	h.pool, err = pool.New(ctx, pool.Config{WorkerPath: cfg.WorkerPath, MaxInflatedBytes: cfg.MaxInflatedBytes, Policy: policy, ClockStep: cfg.ClockStep,
		StopTimeout: cfg.StopTimeout, Spares: cfg.SpareWorkers,
		Code: h.codes, Handoff: h.parts, Artifacts: ports, Runs: h.runs, Observe: h.metrics, Warn: func(w inspect.Worker, what string) {
			h.log.Warn().Str("worker", w.ID).Int("pid", w.PID).Str("tenant", w.Tenant).Str("artifact", w.Artifact).Msg("worker killed: " + what)
		}, Mismatched: func(f *fault.Error) { h.mismatch <- f }}) // once
	if err != nil {
		return nil, err
	}
	if err := h.confine(); err != nil {
		return nil, err
	}
	h.programs = newPrograms(h.pool.Program())
	h.store = store.Open(store.Config{Cache: h.dir.Cache, State: h.dir.State, HostKey: h.dir.HostKey,
		Build: h.pool.Facts().Build, MemoryBytes: cfg.CacheMemoryBytes, MaxFiles: openFiles() / 2})
	ports.Store = h.store
	h.kept = &storePort{Store: h.store, parts: h.parts, health: h.health, log: h.log, unstored: map[artifacts.Key]bool{},
		limits: storeLimits{given: cfg.MaxCodeBytes, inflated: cfg.MaxInflatedBytes, memory: cfg.PrepareMemoryBytes, policy: policy}}
	if h.blobs, err = blob.Open(ctx, h.dir.State, cfg.JobBytes+cfg.Apps.BlobBytes); err != nil {
		return nil, err
	}
	if h.journal, err = openJournal(ctx, h.dir.State, h.blobs, cfg.JobBytes); err != nil {
		return nil, err
	}
	h.jobIDs = newJobIDs(h.journal.last)
	if h.apps, err = openApps(ctx, h); err != nil {
		return nil, err
	}
	if c := cfg.Chain; c.Port != nil && c.Compute && c.Agent == "" {
		if h.placed, err = openPlacements(h); err != nil {
			return nil, err
		}
	}
	if err := h.startActors(); err != nil {
		return nil, err
	}
	if h.warm, err = openWarm(h, h.blobs); err != nil {
		return nil, err
	}
	for _, w := range engineWarnings(runtime.GOARCH, policy) {
		h.health.set(w.code, w.message, w.hint)
		h.log.Warn().Str("code", w.code).Str("hint", w.hint).Msg(w.message)
	}
	h.checks = newCrossChecks(h)
	h.beside.Go(func() { h.checks.keep(h.life) })
	h.beside.Go(func() { h.watchDisk(h.life) })
	report := h.lanes.Keep
	h.beside.Go(func() { report(h.life) })
	h.beside.Go(func() { h.warm.keep(h.life) })
	h.beside.Go(func() { h.pool.KeepSpares(h.life) })
	h.placed.reopen(ctx)
	go h.watchActors()
	h.log.Info().Str("data_dir", cfg.DataDir).Str("sandbox", h.pool.Facts().Sandbox).Msg("host started")
	return h, nil
}

func (h *Host) startActors() (err error) {
	cfg := h.cfg
	h.recorder = newRecorder(cfg.RecordBytes)
	if h.system, err = kernel.New(kernel.Config{Name: cfg.Name, Log: cfg.Log, Recorder: recorderOf(h.recorder)}); err != nil {
		return err
	}
	// The cache admits what the prepare queue has room for, so that an announcement is refused before it is accepted.
	preparing := cfg.PrepareQueue + cfg.PrepareWorkers
	h.prepare, err = prepare.Spawn(h.system, prepare.Config{Preparer: h.pool, Observe: prepareMetrics{h.metrics}, Paused: h.pauses.prepare.since,
		Limits: prepare.Limits{Queue: preparing, Soft: cfg.PrepareWorkers, Hard: cfg.PrepareWorkersCritical}})
	if err != nil {
		return err
	}
	h.execute, err = execute.Spawn(h.system, execute.Config{Workers: h.pool, Leases: h.lanes, Observe: executeMetrics{h.metrics}, Paused: h.pauses.execute.since,
		Limits: execute.Limits{Queue: cfg.ExecuteQueue, Soft: cfg.ExecuteWorkers, Hard: cfg.ExecuteWorkersCritical, Idle: cfg.WorkerIdle}})
	if err != nil {
		return err
	}
	h.cache, err = cache.Spawn(h.system, cache.Config{
		Limits: cache.Limits{Pins: cfg.MaxPins, Preparing: preparing, Requests: max(maxRequests, 2*cfg.ExecuteQueue),
			Cooldown: cfg.RetryCooldown, Retries: cfg.Retries,
			Forgive: cfg.ForgiveSuspects, QuarantineAfter: cfg.QuarantineAfter, Quarantine: cfg.Quarantine,
			Policy: artifacts.PrunePolicy{LimitBytes: cfg.CacheBytes, Age: cfg.CacheAge}},
		PruneEvery: cfg.PruneEvery,
		Store:      h.kept,
		Prepare:    h.prepare, Execute: h.execute, Observe: cacheMetrics{h.metrics}, Forget: h.lanes.Forget, Paused: h.pauses.prepare.holds,
	})
	if err != nil {
		return err
	}
	h.jobs, err = jobs.Spawn(h.system, jobs.Config{
		Limits:  jobs.Limits{Queue: cfg.JobQueue, Settled: cfg.JobQueue, Active: max(jobsPerWorker*cfg.ExecuteWorkers, 16), Hold: cfg.HoldJobs, Keep: cfg.JobKeep, Retries: max(cfg.Retries, 0)},
		Journal: h.journal, Runner: &jobRunner{h: h, held: map[uint64]artifacts.CodeHash{}}, Cache: h.cache, Stuck: h.showStuckJobs, Paused: h.pauses.forJobs,
	})
	if err != nil {
		return err
	}
	if err := h.apps.start(); err != nil {
		return err
	}
	return h.startChain()
}

// jobsPerWorker is how many jobs are under way at a time for each execute worker: some are read and written meanwhile.
const jobsPerWorker = 4

// showStuckJobs warns of jobs that have ended and cannot be written.
func (h *Host) showStuckJobs(why *fault.Error) {
	if why == nil {
		h.health.clear("jobs.unwritten")
		return
	}
	h.health.set("jobs.unwritten", "what happened to jobs cannot be written; it is tried again: "+why.Error(), why.Hint)
}

// watchActors ends the host when a part of it was given up, since a host that lacks a part answers nothing right, and when
// its worker program has become that of another build: then what runs may end.
func (h *Host) watchActors() {
	select {
	case <-h.done:
	case <-h.system.Failed():
		h.shut(h.system.Err(), false)
	case f := <-h.mismatch:
		h.log.Error().Err(f).Str("hint", f.Hint).Msg("the host drains and stops")
		h.shut(f, true)
	}
}

// Close stops intake, waits for what runs up to Config.StopTimeout, kills the rest and releases the data directory. It
// returns why the host ended, nil after an orderly stop. It may be called more than once.
func (h *Host) Close() error {
	h.shut(nil, true)
	return h.Wait()
}

// LeaveJobs has Close, also one that is under way, not wait for jobs that run: they are canceled, and begin again with the
// next host.
func (h *Host) LeaveJobs() { h.leaving.Do(func() { close(h.left) }) }

// Done is closed when the host has ended.
func (h *Host) Done() <-chan struct{} { return h.done }

// Wait waits for the end of the host and says why it ended; nil after Close.
func (h *Host) Wait() error {
	<-h.done
	return h.err
}

// shut stops intake and ends the host. drain lets what runs end first, up to Config.StopTimeout.
func (h *Host) shut(why error, drain bool) {
	h.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), h.cfg.StopTimeout)
		defer cancel()
		h.gate.shut()
		h.end() // announcements are given up
		if drain {
			drained := make(chan struct{})
			if err := h.jobs.Control(jobs.Drain{Reply: kernel.ReplyFunc(func(struct{}, error) { close(drained) })}); err != nil {
				h.log.Debug().Err(err).Msg("the jobs have stopped already") // and have answered
			}
			h.apps.drain(ctx)
			select {
			case <-h.gate.empty:
			case <-ctx.Done():
			}
			select {
			case <-drained:
			case <-h.left:
			case <-ctx.Done():
			}
			if ctx.Err() != nil {
				h.log.Warn().Msg("requests or jobs are still under way; their workers are killed")
			}
		}
		h.err = errors.Join(why, h.release(context.Background()))
		h.log.Info().AnErr("reason", why).Msg("host stopped")
		h.lines.Flush()
		close(h.done)
	})
}

// release gives up everything that Start acquired, in reverse order.
func (h *Host) release(ctx context.Context) error {
	var errs []error
	h.end()
	h.rates.Close()
	h.placed.close()
	h.beside.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.cfg.StopTimeout)
	defer cancel()
	if h.system != nil {
		errs = append(errs, h.system.Stop(ctx))
	}
	if h.apps != nil {
		errs = append(errs, h.apps.close())
	}
	if h.sources != nil {
		errs = append(errs, h.sources.Close())
	}
	if h.pool != nil {
		errs = append(errs, h.pool.Close())
	}
	if h.store != nil {
		errs = append(errs, h.store.Close(ctx))
	}
	h.checks.drop()
	h.parts.clear()
	h.codes.close()
	if h.dir != nil {
		errs = append(errs, h.dir.Close())
	}
	return errors.Join(errs...)
}

// enter admits a request.
func (h *Host) enter() error {
	if h.gate.enter() {
		return nil
	}
	select {
	case <-h.done:
		return fault.New(fault.CallerClosed, "host", h.cfg.Name, h.err)
	default:
		return fault.New(fault.BusyDraining, "host", h.cfg.Name, nil).WithRetryAfter(h.cfg.StopTimeout)
	}
}

func (h *Host) leave() { h.gate.leave() }

// age is how long the host lives.
func (h *Host) age() time.Duration { return time.Since(h.started) }

func release(parts map[string]*sealed.File) {
	for _, f := range parts {
		f.Release()
	}
}
