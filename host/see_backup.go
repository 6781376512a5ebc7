package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/host/internal/appdata"
	"github.com/troupehost/troupe/host/internal/backup"
	"github.com/troupehost/troupe/host/internal/outbox"
)

// What a backup has of a data directory, beside the databases.
var (
	backedFiles = []string{"VERSION", "host.key", keyName}
	backedDirs  = []string{"accounts"} // keys of accounts, which the command line keeps there
	without     = []string{"the artifact cache: code is prepared again when it is needed", "logs of apps", "transactions that waited in the pool of an embedded chain"}
)

// The directories of an embedded chain, in the data directory, and of its database.
const (
	chainHome   = "chain"
	chainBlocks = chainHome + "/blocks"
)

// backups is what makes backups: one at a time.
type backups struct {
	one  sync.Mutex
	hold sync.RWMutex // held for writing between the snapshots of state and chain; nothing begins to be submitted meanwhile
}

// Backup writes a backup of the state, the keys and, if it is embedded, the chain, while the host goes on, and restores it for a trial as
// it is written. What w has is whole only if there is no error. It contains the keys: who has it is this worker.
//
// What it is a backup of: the state at one moment after the call began, so that all that was acknowledged before is in it; and the
// chain at a moment right after it. No transaction of this host was submitted between the two, so each that the chain has is known to
// the state; blocks that the state does not know are read again. A chain of others is not in it.
//
// # Errors
//
// busy.queue_full while another one is made; busy.draining; host.disk_*; canceled.*; those of w.
func (h *Host) Backup(ctx context.Context, w io.Writer) (BackupReport, error) {
	if err := h.enter(); err != nil {
		return BackupReport{}, err
	}
	defer h.leave()
	if !h.backups.one.TryLock() {
		return BackupReport{}, fault.New(fault.BusyQueueFull, "backup", "", errors.New("another one is being made"))
	}
	defer h.backups.one.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(h.life, func() { cancel(fault.New(fault.BusyDraining, "backup", "", nil)) })()

	b := saving{about: h.about()}
	out, in := io.Pipe() // a writer that takes nothing must not keep the databases open
	defer context.AfterFunc(ctx, func() { _ = in.CloseWithError(context.Cause(ctx)) })()
	done := make(chan error, 1)
	h.beside.Go(func() { // the databases are closed after this
		defer b.close()
		err := h.snapshots(&b)
		if err == nil {
			err = b.files(h.cfg.DataDir)
		}
		if err == nil {
			err = b.write(ctx, in, h.cfg.DataDir)
		}
		_ = in.CloseWithError(err)
		done <- err
	})
	_, copied := io.Copy(w, out)
	_ = out.CloseWithError(copied)
	err := <-done
	switch {
	case (err != nil || copied != nil) && ctx.Err() != nil:
		return b.report, fault.From(context.Cause(ctx))
	case err == nil:
		err = copied
	}
	return b.report, err
}

func (h *Host) about() backup.Manifest {
	return backup.Manifest{DataFormat: db.FormatVersion, Version: Version, BuildID: h.pool.Facts().BuildID, Host: machineName(h.cfg.Name),
		At: time.Now().UTC(), Sealed: h.apps.keys.Locked(), Without: without}
}

func machineName(host string) string {
	if machine, err := os.Hostname(); err == nil {
		return fault.Quote(host + "@" + machine)
	}
	return host
}

// snapshots takes those of the databases, the state first.
func (h *Host) snapshots(b *saving) (err error) {
	h.backups.hold.Lock()
	defer h.backups.hold.Unlock()
	if b.state, err = h.dir.State.Snapshot(); err != nil {
		return err
	}
	if backed, ok := h.cfg.Chain.Port.(chain.Backed); ok {
		b.chain, err = backed.Snapshot()
	}
	return err
}

// BackupDir is [Host.Backup] for a data directory that no host has; it holds it meanwhile.
//
// # Errors
//
// As Backup and Start.
func BackupDir(ctx context.Context, dataDir string, w io.Writer) (rep BackupReport, err error) {
	if _, err := os.Stat(filepath.Join(dataDir, "VERSION")); errors.Is(err, fs.ErrNotExist) { // which opening it would make
		return rep, fault.New(fault.CallerNotFound, "backup", fault.Quote(dataDir), errors.New("there is no data directory"))
	}
	open := func(dir string) (*db.Dir, error) {
		return db.OpenDir(db.DirConfig{Path: dir, StateOnly: true, Owner: Owner{PID: pid(), Kind: "backup"}, Log: zerolog.Nop()})
	}
	d, err := open(dataDir)
	if err != nil {
		return rep, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	sealed, err := keys.Encrypted(keys.File(filepath.Join(dataDir, keyName)))
	if err != nil {
		return rep, err
	}
	b := saving{about: backup.Manifest{DataFormat: db.FormatVersion, Version: Version, Host: machineName("none"), At: time.Now().UTC(), Sealed: sealed, Without: without}}
	defer b.close()
	if b.state, err = d.State.Snapshot(); err != nil {
		return rep, err
	}
	if _, err := os.Stat(filepath.Join(dataDir, chainBlocks, "VERSION")); err == nil {
		c, err := open(filepath.Join(dataDir, chainBlocks))
		if err != nil {
			return rep, err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		s, err := c.State.Snapshot()
		if err != nil {
			return rep, err
		}
		b.chain = dirChain{s, filepath.Join(dataDir, chainHome)}
	}
	defer b.close() // before the databases
	if err := b.files(dataDir); err != nil {
		return rep, err
	}
	err = b.write(ctx, w, dataDir)
	return b.report, err
}

// dirChain is a chain that nobody runs.
type dirChain struct {
	*db.Snapshot
	dir string
}

// Files implements chain.Snapshot.
func (d dirChain) Files() map[string][]byte {
	out := map[string][]byte{}
	for _, name := range []string{"genesis.json", "blocks/VERSION", "blocks/host.key"} {
		if b, err := os.ReadFile(filepath.Join(d.dir, filepath.FromSlash(name))); err == nil { // else it does not open, which verifying shows
			out[name] = b
		}
	}
	return out
}

// saving is a backup that is being made.
type saving struct {
	about  backup.Manifest
	state  *db.Snapshot
	chain  chain.Snapshot // nil: none
	parts  []backup.Part
	report BackupReport
}

func (b *saving) close() {
	if b.state != nil {
		b.state.Close()
	}
	if b.chain != nil {
		b.chain.Close()
	}
}

// files reads the small files. Each is written by a rename, so that it is whole.
func (b *saving) files(dataDir string) error {
	names := slices.Clone(backedFiles)
	for _, dir := range backedDirs {
		entries, err := os.ReadDir(filepath.Join(dataDir, dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.HostDiskIO, "backup", dir, err)
		}
		for _, e := range entries {
			if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".key") {
				names = append(names, dir+"/"+e.Name())
			}
		}
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dataDir, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // a host without apps has no worker key
		}
		if err != nil {
			return fault.New(fault.HostDiskIO, "backup", name, err)
		}
		b.small(name, content)
	}
	b.parts = append(b.parts, backup.Part{Name: backup.StateFile(""), Database: true, Write: b.state.Write})
	if b.chain == nil {
		b.about.Without = append(slices.Clone(without), "the chain: it is somebody else's, or there is none")
		return nil
	}
	small := b.chain.Files()
	for _, name := range slices.Sorted(maps.Keys(small)) {
		b.small(chainHome+"/"+name, small[name])
	}
	b.parts = append(b.parts, backup.Part{Name: backup.StateFile(chainBlocks), Database: true, Write: b.chain.Write})
	return nil
}

func (b *saving) small(name string, content []byte) {
	b.parts = append(b.parts, backup.Part{Name: name, Write: func(_ context.Context, w io.Writer) (int64, error) {
		_, err := w.Write(content)
		return 0, err
	}})
}

// write writes the backup, and restores the very bytes for a trial beside. For want of space for the trial only hashes are compared.
func (b *saving) write(ctx context.Context, w io.Writer, beside string) error {
	r, trial := io.Pipe()
	tried := make(chan error, 1)
	go func() {
		_, err := backup.Verify(ctx, r, beside)
		if short(err) { // what is left is written all the same
			_, _ = io.Copy(io.Discard, r)
		}
		_ = r.CloseWithError(err)
		tried <- err
	}()
	rep, err := backup.Write(ctx, io.MultiWriter(w, trial), b.about, b.parts)
	_ = trial.CloseWithError(err) // nil: the end
	triedErr := <-tried
	if err != nil {
		return err
	}
	if triedErr != nil && !short(triedErr) {
		return triedErr
	}
	b.report = BackupReport{Bytes: rep.Bytes, Entries: len(rep.Manifest.Files), Checksum: rep.Checksum, At: rep.Manifest.At, Verified: triedErr == nil,
		Sealed: b.about.Sealed, Without: b.about.Without}
	for _, f := range rep.Manifest.Files {
		b.report.Files = append(b.report.Files, f.Name)
	}
	return nil
}

// short says whether there was no room for a trial.
func short(err error) bool {
	return errors.Is(err, fault.BusyDisk) || errors.Is(err, fault.HostDiskFull)
}

// Restored is what became of a backup.
type Restored struct {
	DataDir   string    `json:"data_dir"`
	Host      string    `json:"host"`    // whose it was
	Version   string    `json:"version"` // that made it
	At        time.Time `json:"at"`      // of the backup
	Bytes     int64     `json:"bytes"`
	Entries   int       `json:"entries"`
	Checksum  string    `json:"checksum"`
	Sealed    bool      `json:"worker_key_encrypted"`
	Chain     bool      `json:"chain"`           // it is in it
	Forgotten int       `json:"apps_forgotten"`  // with the worker session, since it does not go on
	Held      int       `json:"calls_held"`      // calls that wait for 'chain resume', since they may have been sent after the backup
	Without   []string  `json:"without"`         // what was not in it
	Resumed   bool      `json:"session_resumed"` // it goes on where the backup was made
}

// Restore makes a data directory of a backup. It is there whole and on disk, or not at all.
//
// Two hosts of one backup would be one worker for the chain and for its users, and sign reports that contradict each other. So the
// worker session ends here, and its apps with their totals are forgotten, unless resume says that the host of the backup is gone for
// good. Calls to a chain that is not in the backup may have been sent after it: they are kept, and the outbox is paused until an
// operator has looked.
//
// # Errors
//
// caller.invalid_request for a file that is damaged, cut or no backup; caller.conflict for a directory that is not empty;
// host.data_dir_newer; host.data_dir_unwritable, host.disk_*, busy.disk_space; canceled.*.
func Restore(ctx context.Context, r io.Reader, dataDir string, resume bool) (out Restored, err error) {
	rep, err := backup.Restore(ctx, r, dataDir, func(ctx context.Context, m backup.Manifest, state *db.DB) error {
		out.Chain = slices.ContainsFunc(m.Files, func(f backup.File) bool { return f.Name == backup.StateFile(chainBlocks) })
		if !resume {
			if out.Forgotten, err = appdata.Forget(ctx, state); err != nil {
				return err
			}
		}
		if out.Chain {
			return nil
		}
		if out.Held, err = outbox.OnTheirWay(state); err != nil || out.Held == 0 {
			return err
		}
		return outbox.WritePause(ctx, state, &outbox.Pause{At: time.Now().UTC(), Why: fmt.Sprintf(
			"this host was restored from a backup of %s, and %d calls wait that may have been sent since: see 'troupe chain outbox'", m.At.Format(time.RFC3339), out.Held)})
	})
	m := rep.Manifest
	out.DataDir, out.Host, out.Version, out.At, out.Bytes, out.Entries = dataDir, fault.Quote(m.Host), fault.Quote(m.Version), m.At, rep.Bytes, len(m.Files)
	out.Checksum, out.Sealed, out.Without, out.Resumed = rep.Checksum, m.Sealed, m.Without, resume
	return out, err
}

// VerifyBackup reads a backup to its end, checks all hashes, and restores it for a trial in a directory below beside, which it removes
// again. With beside "" it checks the hashes only.
//
// # Errors
//
// As Restore.
func VerifyBackup(ctx context.Context, r io.Reader, beside string) (BackupReport, error) {
	var rep backup.Report
	var err error
	if beside == "" {
		rep, err = backup.Check(ctx, r)
	} else {
		rep, err = backup.Verify(ctx, r, beside)
	}
	out := BackupReport{Bytes: rep.Bytes, Entries: len(rep.Manifest.Files), Checksum: rep.Checksum, At: rep.Manifest.At, Verified: err == nil && beside != "",
		Sealed: rep.Manifest.Sealed, Without: rep.Manifest.Without}
	for _, f := range rep.Manifest.Files {
		out.Files = append(out.Files, f.Name)
	}
	return out, err
}
