package cli

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) blobVerb() verb {
	return verb{
		use: "blob COMMAND", short: "Look after the code and data of apps",
		examples: []string{
			"troupe blob put model.bin", "store a file under its SHA-256",
			"troupe blob list", "what there is, and which apps need it",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.blobPutVerb(), a.blobGetVerb(), a.blobListVerb(), a.blobRemoveVerb()},
	}
}

func (a *app) blobPutVerb() verb {
	name := ""
	return verb{
		use: "put [flags] FILE...", short: "Store files as blobs, and print their hashes",
		long: "- is stdin. A file that is too large, or has another hash than --hash says, is not kept.",
		examples: []string{
			"troupe blob put app.wasm model.bin", "each under its SHA-256",
			"troupe blob put --hash sha512:9b71d224bd62... model.bin", "under another hash, if it is its",
		},
		exits: with(exitsHost, exitNotFound, exitConflict, exitSome), args: atLeast(1, "one or more files"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&name, "HASH"}, "hash", "sha256: or sha512: and hex digits, which the file must have (default: its SHA-256)")
		},
		run: func(ctx context.Context, files []string) error {
			if name != "" && len(files) > 1 {
				return usage("--hash with several files", "a hash names one file: put them one by one")
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error { return a.putBlobs(ctx, n, name, files) })
		},
	}
}

// putResult is one line of what 'blob put' did.
type putResult struct {
	File string `json:"file"`
	*inspect.Blob
	Error *api.Error `json:"error,omitempty"`
}

func (a *app) putBlobs(ctx context.Context, n *node, name string, files []string) error {
	results := make([]putResult, 0, len(files))
	errs := make([]error, len(files))
	for i, file := range files {
		r := putResult{File: file}
		b, err := a.putBlob(ctx, n, name, file)
		if errs[i] = err; err != nil {
			r.Error = new(api.ErrorOf(err))
			if len(files) > 1 {
				a.printFailure("put", file, err)
			}
		} else if r.Blob = &b; !a.json() {
			fmt.Fprintf(a.out, "%s %s\n", fault.Quote(b.Hash), sizeText(b.Bytes))
		}
		results = append(results, r)
	}
	if a.json() {
		a.printJSON(map[string]any{"blobs": results})
	}
	return together(errs)
}

func (a *app) putBlob(ctx context.Context, n *node, name, file string) (inspect.Blob, error) {
	if file == "-" {
		return n.PutBlob(ctx, name, a.in)
	}
	f, err := os.Open(file)
	if err != nil {
		return inspect.Blob{}, fileError(file, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return inspect.Blob{}, fault.New(fault.CallerInvalid, "read", fault.Quote(file), nil).WithHint("this is a directory: name a file")
	}
	return n.PutBlob(ctx, name, f)
}

func (a *app) blobGetVerb() verb {
	out := ""
	return verb{
		use: "get [flags] HASH", short: "Read a blob, and check it",
		long: `Writes to stdout, or to a file, which is there whole or not at all. The bytes are checked against the hash here too: on stdout,
they are good only if the exit code is 0.`,
		examples: []string{
			"troupe blob get sha256:9c1185 --out app.wasm", "a unique beginning of the hash is enough",
			"troupe blob get 9c1185 | sha256sum", "without the name of the hash",
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: exactly(1, "one hash"), complete: a.completeBlobs,
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&out, "FILE"}, "out", "write to FILE (default stdout)")
		},
		run: func(ctx context.Context, args []string) error {
			if a.json() {
				return usage("-o json with 'troupe blob get'", "it prints the bytes as they are")
			}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				name, err := resolveBlob(ctx, n, args[0])
				if err != nil {
					return err
				}
				if out == "" {
					if a.outTerminal {
						return usage("a blob on a terminal", "redirect stdout, or pass --out FILE")
					}
					return getBlob(ctx, n, name, a.out)
				}
				return toFile(out, func(w io.Writer) error { return getBlob(ctx, n, name, w) })
			})
		},
	}
}

// getBlob writes a blob, and fails if it is another.
func getBlob(ctx context.Context, n *node, name string, w io.Writer) error {
	kind, digits, _ := strings.Cut(name, ":")
	var sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	switch kind {
	case "sha256":
		sum = sha256.New()
	case "sha512":
		sum = sha512.New()
	default:
		return fault.New(fault.CallerInvalid, "blob", fault.Quote(name), nil).WithHint(hintHash)
	}
	if _, err := n.GetBlob(ctx, name, io.MultiWriter(w, sum)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != digits {
		return fault.New(fault.CallerBlobMismatch, "get", fault.Quote(name), nil).WithHint("the host sent other bytes: see its log")
	}
	return nil
}

// toFile writes a file that is there whole or not at all.
func toFile(path string, write func(io.Writer) error) (err error) {
	failed := func(err error) error {
		return fault.New(fault.CallerOutput, "write", fault.Quote(path), reason(err))
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return failed(err)
	}
	defer func() {
		_ = f.Close()
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			err = failed(err)
		}
		return err
	}
	if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
		return failed(err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return failed(err)
	}
	return nil
}

func (a *app) blobListVerb() verb {
	return verb{
		use: "list", short: "List blobs, and how much room they take",
		rows:     true,
		examples: []string{"troupe blob list", "of the host of a 'troupe serve'"},
		exits:    exitsHost,
		run: func(ctx context.Context, _ []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				list, err := n.Blobs(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					printRows(a, list, list.Blobs, func(b inspect.Blob) string { return b.Hash })
					return nil
				}
				w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
				fmt.Fprintf(w, "BLOB\tSIZE\tAPPS\tSINCE\n")
				for _, b := range list.Blobs {
					name, apps := b.Hash, fmt.Sprint(len(b.Apps))
					if a.format.value == formWide {
						apps = oneLine(strings.Join(b.Apps, " "))
					} else if kind, digits, ok := strings.Cut(name, ":"); ok {
						name = kind + ":" + short(digits)
					}
					if apps == "" {
						apps = "-"
					}
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", fault.Quote(name), sizeText(b.Bytes), apps, since(b.Since))
				}
				_ = w.Flush()
				a.note(fmt.Sprintf("%s of %s", sizeText(list.UsedBytes), sizeText(list.QuotaBytes)))
				return nil
			})
		},
	}
}

func (a *app) blobRemoveVerb() verb {
	return verb{
		use: "rm HASH...", short: "Drop blobs that no app needs",
		examples: []string{"troupe blob rm sha256:9c1185", "a unique beginning of the hash is enough"},
		exits:    exitsOnKey, args: atLeast(1, "one or more hashes"), complete: a.completeBlobs,
		run: func(ctx context.Context, args []string) error {
			remove := func(ctx context.Context, n *node, prefix string) (keyResult, error) {
				name, err := resolveBlob(ctx, n, prefix)
				if err != nil {
					return keyResult{}, err
				}
				d, err := n.RemoveBlob(ctx, name)
				return keyResult{Key: name, State: d.State}, err
			}
			return a.onEachAt(served, "rm", "blobs", remove)(ctx, args)
		},
	}
}

const hintHash = "pass sha256: or sha512: and at least 4 hex digits of a hash from 'troupe blob list'"

// resolveBlob completes the beginning of a hash; the name of the hash may be left out.
func resolveBlob(ctx context.Context, n *node, prefix string) (string, error) {
	prefix = strings.ToLower(prefix)
	kind, digits, named := strings.Cut(prefix, ":")
	if !named {
		digits, kind = kind, ""
	}
	length := map[string]int{"": 128, "sha256": 64, "sha512": 128}[kind]
	if len(digits) < minPrefix || len(digits) > length || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fault.New(fault.CallerInvalid, "blob", fault.Quote(prefix), nil).WithHint(hintHash)
	}
	if named && len(digits) == length {
		return prefix, nil
	}
	list, err := n.Blobs(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, b := range list.Blobs {
		for _, name := range []string{b.Hash, b.SHA512} {
			k, d, _ := strings.Cut(name, ":")
			if strings.HasPrefix(d, digits) && (kind == "" || k == kind) {
				found = append(found, name)
			}
		}
	}
	switch {
	case len(found) == 0:
		return "", fault.New(fault.CallerNotFound, "blob", prefix, nil).WithHint("'troupe blob list' shows what there is")
	case len(found) > 1:
		return "", fault.New(fault.CallerConflict, "blob", prefix, nil).WithHint(fmt.Sprintf("%d hashes begin like this: pass more digits", len(found)))
	}
	return found[0], nil
}

func (a *app) completeBlobs([]string) []string {
	return a.complete(func(ctx context.Context, n *node) (hashes []string) {
		list, _ := n.Blobs(ctx)
		for _, b := range list.Blobs {
			hashes = append(hashes, fault.Quote(b.Hash))
		}
		return hashes
	})
}
