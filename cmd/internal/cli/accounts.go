package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/keys"
	"github.com/troupehost/troupe/actors/meter"
)

// rootAccount is the account that owns an embedded chain when it is made.
const rootAccount = "root"

const (
	shortestSS58 = 40         // of an account of 32 bytes; less is the name of a key that there is not
	accountsDir  = "accounts" // in the data directory
	keySuffix    = ".key"
)

var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// shownAccount is the JSON of an account's key.
type shownAccount struct {
	Name    string `json:"name"`
	Account string `json:"account"`
	Locked  bool   `json:"key_encrypted"`
}

func (a *app) accountPath(name string) (string, error) {
	if !accountName.MatchString(name) {
		return "", usage("account name "+fault.Quote(name), "use small letters, digits, dots, dashes and underscores, at most 63")
	}
	dir, err := a.directory()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, accountsDir, name+keySuffix), nil
}

// accounts lists the names of the keys in the data directory.
func (a *app) accounts() ([]string, error) {
	dir, err := a.directory()
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(filepath.Join(dir, accountsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.CallerInvalid, "list accounts", fault.Quote(dir), reason(err))
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), keySuffix); ok && accountName.MatchString(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// freeAccount returns where a key of that name would be.
func (a *app) freeAccount(name string) (string, error) {
	if name == workerAccount {
		return "", usage("account name "+name, "it stands for the key of the host: choose another")
	}
	path, err := a.accountPath(name)
	if err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return "", fault.New(fault.CallerConflict, "account", fault.Quote(name), nil).WithHint("there is a key of this name: choose another, or remove " + path)
	}
	return path, nil
}

// newAccount makes a key under a name that is free.
func (a *app) newAccount(name string, unlock keys.Unlock) (*keys.Keyring, error) {
	path, err := a.freeAccount(name)
	if err != nil {
		return nil, err
	}
	if err := accountsDirectory(path); err != nil {
		return nil, err
	}
	k, err := keys.Open(keys.File(path), unlock, nil)
	if err != nil {
		return nil, err
	}
	return k, writePublic(path, k)
}

func accountsDirectory(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.New(fault.HostDataDir, "account", fault.Quote(path), reason(err))
	}
	return nil
}

// writePublic writes the account beside its key, so that it can be told while the key is locked.
func writePublic(path string, k *keys.Keyring) error {
	public := k.Public()
	if err := os.WriteFile(publicPath(path), []byte(hex.EncodeToString(public[:])+"\n"), 0o600); err != nil {
		return fault.New(fault.HostDataDir, "account", fault.Quote(path), reason(err))
	}
	return nil
}

// account opens a key that there is, and asks for its passphrase if it has one.
func (a *app) account(ctx context.Context, name string, secret *secretFlag) (*keys.Keyring, error) {
	path, err := a.accountPath(name)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(path); err != nil {
		return nil, noAccount(name)
	}
	k, err := keys.Open(keys.File(path), keys.Unlock{}, nil)
	if fault.CodeOf(err) != fault.HostKey || secret == nil {
		return k, err
	}
	pass, err := a.passphrase(ctx, secret, false)
	if err != nil {
		return nil, err
	}
	return keys.Open(keys.File(path), keys.Unlock{Passphrase: pass}, nil)
}

func noAccount(name string) error {
	return fault.New(fault.CallerNotFound, "account", fault.Quote(name), nil).WithHint("'troupe key list' shows the accounts, 'troupe key new " + name + "' makes it; " +
		rootAccount + " is made by a 'troupe serve' with a chain of its own")
}

// accountFlags choose who signs a transaction.
type accountFlags struct {
	from   string
	secret secretFlag
}

func (f *accountFlags) add(fs *pflag.FlagSet) {
	f.from = rootAccount
	fs.Var(word{&f.from, "NAME"}, "from", "the account that signs: see 'troupe key list', or "+workerAccount+" for the key of the host")
	f.secret.add(fs)
}

func (a *app) signer(ctx context.Context, f *accountFlags) (*meter.Key, error) {
	k, err := a.account(ctx, f.from, &f.secret)
	if err != nil {
		return nil, err
	}
	return k.Worker(), nil
}

// parsePublic reads an account of 32 bytes: hex digits, SS58, or the name of a key in the data directory.
func (a *app) parsePublic(text string) (p [32]byte, err error) {
	if accountName.MatchString(text) && len(text) < 2*len(p) {
		if path, err := a.accountPath(text); err == nil {
			if _, err := os.Lstat(path); err == nil {
				s, err := a.shownAccount(text) // also of one that is locked
				if err != nil {
					return p, err
				}
				text = s.Account
			}
		}
	}
	b, err := parseAccount(text)
	if err != nil && accountName.MatchString(text) && len(text) < shortestSS58 {
		return p, noAccount(text)
	}
	if err != nil {
		return p, err
	}
	if len(b) != len(p) {
		return p, usage("account "+fault.Quote(text), "it has 32 bytes")
	}
	return [32]byte(b), nil
}

// shownAccount describes a key; of one that is locked the file beside it tells the account.
func (a *app) shownAccount(name string) (s shownAccount, err error) {
	path, err := a.accountPath(name)
	if err != nil {
		return s, err
	}
	if _, err := os.Lstat(path); err != nil {
		return s, noAccount(name)
	}
	k, err := keys.Open(keys.File(path), keys.Unlock{}, nil)
	if err == nil {
		return accountOf(name, k), nil
	}
	public, err2 := os.ReadFile(publicPath(path))
	if err2 != nil {
		return s, err
	}
	return shownAccount{name, strings.TrimSpace(string(public)), true}, nil
}

func accountOf(name string, k *keys.Keyring) shownAccount {
	p := k.Public()
	return shownAccount{name, hex.EncodeToString(p[:]), k.Locked()}
}

func publicPath(key string) string { return strings.TrimSuffix(key, keySuffix) + ".pub" }

func (a *app) printAccount(s shownAccount) {
	if a.json() {
		a.printJSON(s)
		return
	}
	a.printAccounts([]shownAccount{s})
}

func (a *app) printAccounts(list []shownAccount) {
	if a.json() {
		printRows(a, list, list, func(s shownAccount) string { return s.Name })
		return
	}
	for _, s := range list {
		kept := "in clear"
		if s.Locked {
			kept = "locked"
		}
		fmt.Fprintf(a.out, "%-16s %s  %s\n", s.Name, fault.Quote(s.Account), kept)
	}
}

func (a *app) backupAccount(ctx context.Context, name string, secret *secretFlag) ([]byte, error) {
	k, err := a.account(ctx, name, secret)
	if err != nil {
		return nil, err
	}
	pass, err := a.passphrase(ctx, secret, !k.Locked())
	if err != nil {
		return nil, err
	}
	return k.Backup(pass)
}

func (a *app) restoreAccount(name string, backup, pass []byte) (s shownAccount, err error) {
	path, err := a.freeAccount(name)
	if err != nil {
		return s, err
	}
	kept := &keys.Memory{} // the backup is tried before anything is at the place of the key
	k, err := keys.Open(kept, keys.Unlock{Passphrase: pass}, nil)
	if err != nil {
		return s, err
	}
	if err := k.Restore(backup, pass); err != nil {
		return s, err
	}
	b, err := kept.Load()
	if err != nil {
		return s, err
	}
	if err := accountsDirectory(path); err != nil {
		return s, err
	}
	if err := keys.File(path).Save(b); err != nil {
		return s, err
	}
	return accountOf(name, k), writePublic(path, k)
}

func (a *app) completeAccounts(args []string) []string {
	names, err := a.accounts()
	if err != nil || len(args) > 0 {
		return nil
	}
	return names
}

func (a *app) keyNewVerb() verb {
	var (
		secret secretFlag
		lock   bool
	)
	return verb{
		use: "new [flags] NAME", short: "Make a key for an account on the chain",
		examples: []string{
			"troupe key new alice", "prints its account; the key is kept in a file that only this user can read",
			"troupe key new --lock alice", "asks for a passphrase that the key is locked with",
		},
		exits: with(exitsText, exitConflict, exitHost, exitDenied, exitBug), args: exactly(1, "a name"),
		flags: func(fs *pflag.FlagSet) {
			secret.add(fs)
			fs.BoolVar(&lock, "lock", false, "lock it with a passphrase")
		},
		run: func(ctx context.Context, args []string) error {
			var unlock keys.Unlock
			if lock || secret.file != "" {
				pass, err := a.passphrase(ctx, &secret, true)
				if err != nil {
					return err
				}
				unlock.Passphrase = pass
			}
			k, err := a.newAccount(args[0], unlock)
			if err == nil {
				a.printAccount(accountOf(args[0], k))
			}
			return err
		},
	}
}

func (a *app) keyListVerb() verb {
	return verb{
		use: "list", short: "List the keys of accounts in the data directory",
		rows:     true,
		examples: []string{"troupe key list", "root is the account that owns an embedded chain"},
		exits:    with(exitsText, exitHost, exitDenied, exitBug),
		run: func(_ context.Context, _ []string) error {
			names, err := a.accounts()
			if err != nil {
				return err
			}
			list := make([]shownAccount, 0, len(names))
			for _, name := range names {
				s, err := a.shownAccount(name)
				if err != nil {
					return err
				}
				list = append(list, s)
			}
			a.printAccounts(list)
			return nil
		},
	}
}
