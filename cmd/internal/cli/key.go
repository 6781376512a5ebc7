package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) keyVerb() verb {
	return verb{
		use: "key COMMAND", short: "Look after the worker key, which reports are signed with, and the keys of accounts on the chain",
		long: `The worker key belongs to the host. Keys of accounts lie beside it in the data directory, and are used by the verbs that send
transactions. Passphrases come from a file or are asked for on the terminal; they are never arguments, which others can see.`,
		examples: []string{
			"troupe key show", "the public key of the worker, and whether it is locked at rest",
			"troupe key backup --out worker.key", "keep a copy somewhere else",
			"troupe key new alice", "make a key for an account",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.keyNewVerb(), a.keyListVerb(), a.keyShowVerb(), a.keyBackupVerb(), a.keyRestoreVerb(), a.keyRotateVerb(), a.keyLockVerb()},
	}
}

// shownKey is the JSON of 'key show'.
type shownKey struct {
	WorkerKey string `json:"worker_key"`
	Locked    bool   `json:"key_encrypted"`
}

func (a *app) printKey(s inspect.Session) {
	if a.json() {
		a.printJSON(shownKey{s.WorkerKey, s.KeyLocked})
		return
	}
	kept := "in clear"
	if s.KeyLocked {
		kept = "locked"
	}
	fmt.Fprintf(a.out, "%s %s\n", fault.Quote(s.WorkerKey), kept)
}

func (a *app) keyShowVerb() verb {
	return verb{
		use: "show [NAME]", short: "Show the public worker key, or the key of an account, and how it is kept",
		examples: []string{
			"troupe key show -o json | jq -r .worker_key", "for 'troupe metrics verify --worker'",
			"troupe key show alice", "the account of that name",
		},
		exits: with(exitsHost, exitNotFound), args: atMost(1, "the name of an account"), complete: a.completeAccounts,
		run: func(ctx context.Context, args []string) error {
			if len(args) == 1 {
				s, err := a.shownAccount(args[0])
				if err == nil {
					a.printAccount(s)
				}
				return err
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				s, err := n.Session(ctx)
				if err == nil {
					a.printKey(s)
				}
				return err
			})
		},
	}
}

// secretFlag is where a passphrase comes from.
type secretFlag struct{ file string }

func (s *secretFlag) add(fs *pflag.FlagSet) {
	fs.Var(word{&s.file, "FILE"}, "passphrase-file", "the passphrase, without the end of its line; - is stdin (default: ask on the terminal)")
}

// passphrase reads it from the file, or asks for it; twice if it is a new one.
func (a *app) passphrase(ctx context.Context, s *secretFlag, fresh bool) ([]byte, error) {
	if s.file != "" {
		b, err := a.readInput(ctx, s.file)
		if err != nil {
			return nil, err
		}
		return checkPassphrase(chomp(b))
	}
	first, err := a.askSecret("Passphrase: ")
	if err != nil {
		return nil, err
	}
	if fresh {
		again, err := a.askSecret("The same again: ")
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(first, again) {
			return nil, usage("two different passphrases", "type the same one twice")
		}
	}
	return checkPassphrase(first)
}

func checkPassphrase(b []byte) ([]byte, error) {
	if len(b) == 0 || len(b) > api.MaxPassphrase {
		return nil, usage("a passphrase of "+fmt.Sprint(len(b))+" bytes", fmt.Sprintf("it has 1 to %d bytes", api.MaxPassphrase))
	}
	return b, nil
}

// chomp drops one end of a line.
func chomp(b []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
}

// askTerminal asks without echo.
func askTerminal(in, out *os.File) func(prompt string) ([]byte, error) {
	return func(prompt string) ([]byte, error) {
		if !isTerminal(in) {
			return nil, usage("no passphrase", "stdin is not a terminal: pass --passphrase-file")
		}
		_, _ = io.WriteString(out, prompt)
		b, err := term.ReadPassword(int(in.Fd()))
		_, _ = io.WriteString(out, "\n")
		if err != nil {
			return nil, fault.New(fault.CallerInvalid, "read", "passphrase", err)
		}
		return b, nil
	}
}

func (a *app) keyBackupVerb() verb {
	var (
		secret secretFlag
		out    string
	)
	return verb{
		use: "backup [flags] [NAME]", short: "Write a copy of the worker key, or of the key of an account, locked with a passphrase",
		long: `That of the worker holds the key and the root of all secrets of apps. Whoever has it and the passphrase is the worker, or has the
account.`,
		examples: []string{
			"troupe key backup --out worker.key", "asks for a passphrase, twice",
			"troupe key backup --passphrase-file secret >worker.key", "for scripts",
			"troupe key backup --out alice.backup alice", "the key of an account",
		},
		exits: with(exitsHost, exitNotFound), args: atMost(1, "the name of an account"), complete: a.completeAccounts,
		flags: func(fs *pflag.FlagSet) {
			secret.add(fs)
			fs.Var(word{&out, "FILE"}, "out", "write to FILE, which only this user can read (default stdout)")
		},
		run: func(ctx context.Context, args []string) error {
			switch {
			case a.json():
				return usage("-o json with 'troupe key backup'", "it prints the backup as it is")
			case out == "" && a.outTerminal:
				return usage("a backup on a terminal", "redirect stdout, or pass --out FILE")
			}
			write := func(b []byte) error {
				if out != "" {
					return toFile(out, func(w io.Writer) error { _, err := w.Write(b); return err })
				}
				_, _ = a.out.Write(b) // a failed write shows in the sink
				return nil
			}
			if len(args) == 1 {
				b, err := a.backupAccount(ctx, args[0], &secret)
				if err != nil {
					return err
				}
				return write(b)
			}
			pass, err := a.passphrase(ctx, &secret, true)
			if err != nil {
				return err
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				b, err := n.BackupKey(ctx, pass)
				if err != nil {
					return err
				}
				return write(b)
			})
		},
	}
}

func (a *app) keyRestoreVerb() verb {
	var secret secretFlag
	return verb{
		use: "restore [flags] FILE [NAME]", short: "Put a backup in the place of the worker key, or make it the key of an account",
		long: `The worker key that there was is lost, unless there is a backup of it; no app may be deployed, and the session ends. The host must
have no chain: 'troupe serve --chain none'. The name of an account must be free.`,
		examples: []string{
			"troupe key restore worker.key", "asks for the passphrase of the backup",
			"troupe key restore --passphrase-file secret worker.key", "for scripts",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: between(1, 2, "a backup, and for an account its name"),
		flags: secret.add,
		run: func(ctx context.Context, args []string) error {
			if args[0] == "-" && secret.file == "-" {
				return usage("both from stdin", "read the backup or the passphrase from a file")
			}
			backup, err := a.readInput(ctx, args[0])
			if err != nil {
				return err
			}
			pass, err := a.passphrase(ctx, &secret, false)
			if err != nil {
				return err
			}
			if len(args) == 2 {
				s, err := a.restoreAccount(args[1], backup, pass)
				if err == nil {
					a.printAccount(s)
				}
				return err
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				s, err := n.RestoreKey(ctx, backup, pass)
				if err == nil {
					a.printKey(s)
				}
				return err
			})
		},
	}
}

func (a *app) keyRotateVerb() verb {
	return verb{
		use: "rotate", short: "Make a new worker key",
		long:     "What apps have stored, and their secrets, stay readable. No app may be deployed, and the session ends: it was that of the old key.\nA chain knows the worker by its key, so that it cannot change under a host with a chain: use 'troupe serve --chain none' for it.\nAn account on a chain is its key: for another one make it with 'troupe key new', and send what the old one has.",
		examples: []string{"troupe key rotate", "prints the new public key"},
		exits:    with(exitsHost, exitConflict),
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				s, err := n.RotateKey(ctx)
				if err == nil {
					a.printKey(s)
				}
				return err
			})
		},
	}
}

func (a *app) keyLockVerb() verb {
	var (
		secret secretFlag
		open   bool
	)
	return verb{
		use: "lock [flags]", short: "Lock the worker key at rest with a passphrase, or keep it in clear",
		long: "The next 'troupe serve' needs the passphrase: see its --key-passphrase-file.",
		examples: []string{
			"troupe key lock", "asks for a passphrase, twice",
			"troupe key lock --clear", "in a file that only this user can read",
		},
		exits: exitsHost,
		flags: func(fs *pflag.FlagSet) {
			secret.add(fs)
			fs.BoolVar(&open, "clear", false, "keep it in clear")
		},
		run: func(ctx context.Context, _ []string) error {
			var pass []byte
			if open && secret.file != "" {
				return usage("both --clear and --passphrase-file", "choose one of them")
			}
			if !open {
				var err error
				if pass, err = a.passphrase(ctx, &secret, true); err != nil {
					return err
				}
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				d, err := n.LockKey(ctx, pass)
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(d)
				default:
					fmt.Fprintf(a.out, "%s\n", fault.Quote(d.State))
				}
				return nil
			})
		},
	}
}
