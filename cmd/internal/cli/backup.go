package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) backupVerb() verb {
	return verb{
		use: "backup FILE", short: "Save state, keys and chain of the data directory, while the host goes on",
		long: `All that was acknowledged before is in it: jobs, apps and what they keep, their totals, blobs, what is on its way to the chain, the keys,
and an embedded chain. It is restored for a trial before FILE gets its name: FILE is whole, or not there. Not in it are the artifact
cache, from which code is prepared again, and the logs of apps. Without a host the data directory is read itself. - is stdout.
FILE has the worker key, as it is stored: who has it is this worker. Lock the key with 'troupe key lock', or keep FILE like a key.`,
		examples: []string{
			"troupe node backup /var/backups/troupe-$(date +%F)", "a copy that is proved to open",
			"troupe node backup - | age -r age1... > copy.age", "encrypted for somebody, without a file in between",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: exactly(1, "the file to write"),
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			return a.backup(ctx, args[0])
		},
	}
}

func (a *app) backup(ctx context.Context, file string) error {
	switch {
	case file == "-" && a.json():
		return usage("-o json with a backup on stdout", "name a file")
	case file == "-" && a.outTerminal:
		return usage("a backup on a terminal", "redirect stdout, or name a file")
	case file == "-":
		return a.writeBackup(ctx, a.out)
	}
	if st, err := os.Lstat(file); err == nil {
		what := "the file is there already"
		if st.IsDir() {
			what = "this is a directory"
		}
		return fault.New(fault.CallerConflict, "write", fault.Quote(file), errors.New(what)).WithHint("name another file: a backup replaces nothing")
	}
	var rep host.BackupReport
	p := a.startProgress()
	defer p.stop()
	err := toFile(file, func(w io.Writer) (err error) {
		f, ok := w.(*os.File)
		if !ok {
			return fault.New(fault.BugUnexpected, "backup", "", nil)
		}
		if err := a.writeBackup(ctx, told(p, "backup: written", f)); err != nil {
			return err
		}
		rep, err = readBack(ctx, p, f, filepath.Dir(file))
		return err
	})
	p.stop()
	if err != nil {
		return err
	}
	if a.json() {
		a.printJSON(rep)
	} else {
		fmt.Fprintf(a.out, "%s  %s  %d files  %s\n", fault.Quote(file), sizeText(rep.Bytes), rep.Entries, rep.Checksum)
	}
	if !rep.Verified {
		a.note("there is no room beside the file to restore it for a trial: its hashes were compared only")
	}
	if !rep.Sealed {
		a.note("the file has the worker key in clear: who has it is this worker ('troupe key lock' locks the key)")
	}
	return nil
}

// writeBackup has the host write a backup, or reads the directory that no host has.
func (a *app) writeBackup(ctx context.Context, w io.Writer) error {
	dir, err := a.directory()
	if err != nil {
		return err
	}
	if owner, ok := a.owner(dir); ok && owner.Kind == ownerServe || unreadable(dir) {
		return a.at(ctx, served, func(ctx context.Context, n *node) error {
			r, err := n.Backup(ctx)
			if err != nil {
				return err
			}
			defer r.Close()
			_, err = io.Copy(w, r)
			if err != nil && ctx.Err() == nil && !errors.As(err, new(*fault.Error)) {
				err = fault.New(fault.HostDiskIO, "backup", "", err).WithHint("the backup broke off: see the log of the host")
			}
			return err
		})
	}
	_, err = host.BackupDir(ctx, dir, w)
	if fault.CodeOf(err) == fault.HostDataDirLocked {
		err = fault.From(err).WithHint("another process has the data directory: wait for its end, or make the backup through its 'troupe serve'")
	}
	return denied(err)
}

// readBack reads what is on the disk now, and restores it for a trial beside.
func readBack(ctx context.Context, p *progress, f *os.File, beside string) (host.BackupReport, error) {
	again := func(beside string) (host.BackupReport, error) {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return host.BackupReport{}, fault.New(fault.CallerOutput, "read back", "", reason(err))
		}
		return host.VerifyBackup(ctx, toldOf(p, "backup: read back", f), beside)
	}
	rep, err := again(beside)
	if errors.Is(err, fault.BusyDisk) || errors.Is(err, fault.HostDiskFull) {
		rep, err = again("")
	}
	return rep, err
}

func (a *app) restoreVerb() verb {
	resume := false
	return verb{
		use: "restore [flags] FILE", short: "Make a data directory of a backup",
		long: `The directory of --data-dir must be empty or missing; it is there whole when this ends well, and not at all otherwise. - is stdin.
Two hosts that go on from one backup would be one worker for the chain and for its users, and sign reports that contradict each
other. So the worker session ends here, and its apps with their totals are forgotten, unless --resume says that the host of the
backup is gone for good; start it with 'troupe serve --resume' then. Calls to a chain that is not in the backup may have been sent
since: they wait until 'troupe chain resume'.`,
		examples: []string{
			"troupe node restore troupe-2026-01-31 --data-dir ./restored", "then 'troupe serve --data-dir ./restored'",
			"troupe node restore --resume troupe-2026-01-31", "the old host is gone, and this one is it from now on",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: exactly(1, "a backup"),
		flags: func(fs *pflag.FlagSet) {
			fs.BoolVar(&resume, "resume", false, "keep the worker session and its apps: the host of the backup is gone for good")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			return a.restore(ctx, args[0], resume)
		},
	}
}

func (a *app) restore(ctx context.Context, file string, resume bool) error {
	dir, err := a.directory()
	if err != nil {
		return err
	}
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fileError(file, err)
		}
		defer f.Close()
		in = f
	}
	p := a.startProgress()
	defer p.stop()
	r, err := host.Restore(ctx, toldOf(p, "restore: read", in), dir, resume)
	p.stop()
	if err != nil {
		return denied(err)
	}
	if a.json() {
		a.printJSON(r)
	} else {
		fmt.Fprintf(a.out, "%s  restored from a backup of %s, made %s by version %s\n", fault.Quote(dir), r.Host, r.At.UTC().Format(time.RFC3339), r.Version)
	}
	a.note("not in it: " + strings.Join(r.Without, "; "))
	switch {
	case resume:
		a.note("its worker session goes on with 'troupe serve --resume': the host of the backup must never start again")
	case r.Forgotten > 0:
		a.note(fmt.Sprintf("the worker session has ended, and its %d apps are forgotten: deploy them again, or restore with --resume", r.Forgotten))
	}
	if r.Held > 0 {
		a.note(fmt.Sprintf("%d calls to the chain wait for 'troupe chain resume': see 'troupe chain outbox' whether they were sent since the backup", r.Held))
	}
	return nil
}

// told counts what goes through a writer, on the line of the progress.
func told(p *progress, stage string, w io.Writer) io.Writer {
	return io.MultiWriter(w, &tally{p: p, stage: stage})
}

// toldOf is told for a reader.
func toldOf(p *progress, stage string, r io.Reader) io.Reader {
	return io.TeeReader(r, &tally{p: p, stage: stage})
}

type tally struct {
	p     *progress
	stage string
	n     atomic.Int64
}

// Write implements io.Writer.
func (t *tally) Write(b []byte) (int, error) {
	n := t.n.Add(int64(len(b)))
	if t.p.lines { // one line for a stage
		t.p.set(api.Progress{Stage: t.stage})
	} else {
		t.p.set(api.Progress{Stage: t.stage + " " + sizeText(n)})
	}
	return len(b), nil
}
