package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/control/api"
)

// The files of an app that was built.
const (
	fileManifest = "manifest.json"
	fileEncoded  = "manifest.scale"
	dirBlobs     = "blobs"
)

func (a *app) appBuildVerb() verb {
	out := ""
	return verb{
		use: "build [flags] DESCRIPTION", short: "Make the manifest, the blobs and the address of an app",
		long: `The description is JSON, or TOML if its name ends in .toml; paths in it count from where it stands. The same description and
files give the same bytes everywhere. No host is needed. Writes manifest.json, manifest.scale and blobs/, each blob under its CID, into
a directory of their own, which is replaced; one that has anything else in it is left alone.`,
		examples: []string{
			"troupe app build app.toml", "into app.app, or where the description says",
			"troupe app build --out /tmp/demo app.json -o json | jq -r .address", "for scripts",
		},
		exits: []int{exitOK, exitOther, exitUsage, exitNotFound, exitDenied, exitConflict, exitCanceled, exitLimit, exitHost, exitBug},
		args:  exactly(1, "one description"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&out, "DIR"}, "out", "where to (default: output_dir of the description, else its name with .app)")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			built, description, err := buildApp(ctx, args[0])
			if err != nil {
				return err
			}
			switch {
			case out != "":
			case description.OutputDir != "":
				out = beside(args[0], description.OutputDir)
			default:
				out = strings.TrimSuffix(args[0], filepath.Ext(args[0])) + ".app"
			}
			if err := writeApp(out, built); err != nil {
				return err
			}
			said := builtApp{Address: built.Manifest.Address().String(), CID: built.CID, Dir: out, Blobs: []builtBlob{}}
			for _, b := range built.Blobs {
				said.Blobs = append(said.Blobs, builtBlob{b.Hash, b.CID, int64(len(b.Bytes))})
			}
			if a.json() {
				a.printJSON(said)
				return nil
			}
			fmt.Fprintf(a.out, "address   %s\nmanifest  %s\ndirectory %s\n", said.Address, said.CID, oneLine(out))
			if a.format.value == formWide {
				for _, b := range said.Blobs {
					fmt.Fprintf(a.out, "blob      %s  %s  %s\n", b.CID, b.Hash, sizeText(b.Bytes))
				}
			}
			return nil
		},
	}
}

// builtApp is the JSON of 'app build', which is a contract.
type builtApp struct {
	Address string      `json:"address"`
	CID     string      `json:"manifest_cid"`
	Dir     string      `json:"directory"`
	Blobs   []builtBlob `json:"blobs"`
}

type builtBlob struct {
	Hash  string `json:"hash"`
	CID   string `json:"cid"`
	Bytes int64  `json:"bytes"`
}

// beside returns what a path in a file means.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

func buildApp(ctx context.Context, file string) (*manifest.Built, *manifest.Description, error) {
	text, err := readFile(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	d, err := manifest.ParseDescription(text, filepath.Ext(file) == ".toml")
	if err != nil {
		return nil, nil, err
	}
	built, err := manifest.Build(d, func(path string) ([]byte, error) { return readFile(ctx, beside(file, path)) })
	return built, d, err
}

// writeApp replaces a directory that has nothing but an app in it, or makes one. It is there whole, or as it was.
func writeApp(dir string, built *manifest.Built) (err error) {
	dir = filepath.Clean(dir)
	there, err := onlyApp(dir)
	if err != nil {
		return err
	}
	failed := func(err error) error {
		return fault.New(fault.CallerInvalid, "write", fault.Quote(dir), reason(err)).WithHint("name a directory that can be written, with --out")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return failed(err)
	}
	next, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+"-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(next) }() // if it is still there
	files := map[string][]byte{fileManifest: built.JSON, fileEncoded: built.Encoded}
	for _, b := range built.Blobs {
		files[filepath.Join(dirBlobs, b.CID)] = b.Bytes
	}
	err = errors.Join(os.Chmod(next, 0o755), os.Mkdir(filepath.Join(next, dirBlobs), 0o755))
	for name, b := range files {
		if err == nil {
			err = os.WriteFile(filepath.Join(next, name), b, 0o644)
		}
	}
	if err != nil {
		return failed(err)
	}
	if there {
		old := next + ".old"
		if err := os.Rename(dir, old); err != nil {
			return failed(err)
		}
		defer func() {
			if err != nil {
				_ = os.Rename(old, dir)
				return
			}
			_ = os.RemoveAll(old)
		}()
	}
	if err = os.Rename(next, dir); err != nil {
		return failed(err)
	}
	return nil
}

// onlyApp reports whether dir is there; if it has anything that is not of an app, that is an error.
func onlyApp(dir string) (bool, error) {
	foreign := func(what string) error {
		return fault.New(fault.CallerConflict, "write", fault.Quote(dir), errors.New(what)).WithHint("name a directory of its own with --out, or empty this one")
	}
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fileError(dir, err)
	case !info.IsDir():
		return false, foreign("it is not a directory")
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return fileError(path, err)
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return fileError(path, err)
		}
		parent, base := filepath.Split(name)
		switch {
		case name == ".", name == dirBlobs && e.IsDir():
		case (name == fileManifest || name == fileEncoded) && e.Type().IsRegular():
		case parent == dirBlobs+string(filepath.Separator) && e.Type().IsRegular() && isCID(base):
		default:
			return foreign("it has " + fault.Quote(name))
		}
		return nil
	})
	return true, err
}

// isCID reports whether a name looks like one that manifest.CID returns.
func isCID(name string) bool {
	return len(name) == 46 && strings.HasPrefix(name, "Qm") && strings.Trim(name, base58Digits) == ""
}

// sameManifest says whether the JSON beside a manifest is another one: somebody has edited it, and would not get what it says.
func sameManifest(ctx context.Context, file string, encoded []byte) error {
	b, err := readFile(ctx, file)
	if fault.CodeOf(err) == fault.CallerNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	var m manifest.Manifest
	if err := m.UnmarshalJSON(b); err != nil {
		return err
	}
	if !bytes.Equal(m.Encode(), encoded) {
		return fault.New(fault.CallerConflict, "read", fault.Quote(file), errors.New(fileEncoded+" beside it is another manifest")).
			WithHint("build the app again, or name one of the two files")
	}
	return nil
}

// packedApp is an app that can be deployed.
type packedApp struct {
	encoded []byte
	m       *manifest.Manifest
	open    func(hash, cid string) (io.ReadCloser, error) // fs.ErrNotExist if it is not here
}

// loadApp reads what 'app build' wrote: the directory or one of its manifests, or a description, which is built at once.
func loadApp(ctx context.Context, path string) (p packedApp, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return p, fileError(path, err)
	}
	file := path
	if info.IsDir() {
		file = filepath.Join(path, fileEncoded)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			file = filepath.Join(path, fileManifest)
		}
	}
	b, err := readFile(ctx, file)
	if err != nil {
		return p, err
	}
	switch kind := filepath.Ext(file); {
	case kind == ".toml", kind == ".json" && !hasKey(b, "code_hash"):
		built, _, err := buildApp(ctx, file)
		if err != nil {
			return p, err
		}
		blobs := map[string][]byte{}
		for _, x := range built.Blobs {
			blobs[x.Hash] = x.Bytes
		}
		return packedApp{built.Encoded, built.Manifest, func(hash, _ string) (io.ReadCloser, error) {
			if b, ok := blobs[hash]; ok {
				return io.NopCloser(bytes.NewReader(b)), nil
			}
			return nil, fs.ErrNotExist
		}}, nil
	case kind == ".json":
		p.m = &manifest.Manifest{}
		if err := p.m.UnmarshalJSON(b); err != nil {
			return p, err
		}
	default:
		if p.m, err = manifest.Decode(b); err != nil {
			return p, err
		}
	}
	if err := p.m.Validate(); err != nil {
		return p, err
	}
	p.encoded = p.m.Encode()
	if info.IsDir() {
		if err := sameManifest(ctx, filepath.Join(path, fileManifest), p.encoded); err != nil {
			return p, err
		}
	}
	blobs := filepath.Join(filepath.Dir(file), dirBlobs)
	p.open = func(_, cid string) (io.ReadCloser, error) {
		if !isCID(cid) { // it is a name of a file now
			return nil, fs.ErrNotExist
		}
		return os.Open(filepath.Join(blobs, cid))
	}
	return p, nil
}

func hasKey(text []byte, key string) bool {
	var v map[string]json.RawMessage
	_ = json.Unmarshal(text, &v) // what is wrong shows when it is read in earnest
	_, ok := v[key]
	return ok
}

func (a *app) appDeployVerb() verb {
	var (
		config, tenant         string
		reuse, bench, announce bool
		timeout                span
	)
	return verb{
		use: "deploy [flags] DIR|FILE", short: "Hand an app to the host of a 'troupe serve'",
		long: `Takes what 'troupe app build' wrote, a manifest, or a description, which is built first. Blobs that the host lacks are sent
before. There must be a worker session: see 'troupe session open'.`,
		examples: []string{
			"troupe app deploy app.app", "prints the address",
			"troupe app deploy --guest-config settings.json app.toml", "build it and deploy it, with a configuration for the guest",
		},
		exits: with(exitsCode, exitConflict), args: exactly(1, "one directory or file"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&config, "FILE"}, "guest-config", "configuration for the guest, at most 64KiB; it is no part of the address (default none)")
			fs.Var(word{&tenant, "NAME"}, "tenant", "who owns the app, and shares channels and topics with it (default: this user)")
			fs.BoolVar(&reuse, "reuse-instances", false, "one instance of an on-demand app of version 1 serves all")
			fs.BoolVar(&bench, "bench", false, "make it the benchmark app")
			fs.BoolVar(&announce, "announce", false, "only have its code prepared in the background")
			fs.Var(&timeout, "timeout", "give up after D (default none)")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, cancel := within(ctx, timeout)
			defer cancel()
			p, err := loadApp(ctx, args[0])
			if err != nil {
				return err
			}
			var settings []byte
			if config != "" {
				if settings, err = a.readInput(ctx, config); err != nil {
					return err
				}
			}
			req := api.Deploy{Tenant: tenant, ReuseInstances: reuse, Bench: bench}
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				if announce {
					return a.announceApp(ctx, n, p, req, settings)
				}
				return a.deployApp(ctx, n, p, req, settings)
			})
		},
	}
}

func (a *app) deployApp(ctx context.Context, n *node, p packedApp, req api.Deploy, config []byte) error {
	s, err := n.Session(ctx)
	switch {
	case err != nil:
		return err
	case s.ID == "": // before megabytes are sent
		return fault.New(fault.CallerNoSession, "deploy", p.m.Address().String(), nil)
	}
	if err := a.sendBlobs(ctx, n, p); err != nil {
		return err
	}
	x, err := n.Deploy(ctx, req, p.encoded, config)
	switch {
	case err != nil:
		return err
	case a.json():
		a.printJSON(x)
	default:
		fmt.Fprintf(a.out, "%s\n", fault.Quote(x.Address))
	}
	return nil
}

func (a *app) announceApp(ctx context.Context, n *node, p packedApp, req api.Deploy, config []byte) error {
	if err := a.sendBlobs(ctx, n, p); err != nil {
		return err
	}
	if err := n.Announce(ctx, req, p.encoded, config); err != nil {
		return err
	}
	said := announcedApp{Address: p.m.Address().String(), State: "announced"}
	if a.json() {
		a.printJSON(said)
	} else {
		fmt.Fprintf(a.out, "%s\n", said.Address)
	}
	return nil
}

// announcedApp is what can be said of an app that is not deployed yet.
type announcedApp struct {
	Address string `json:"address"`
	State   string `json:"state"` // "announced"
}

// sendBlobs puts the blobs of an app that the host lacks.
func (a *app) sendBlobs(ctx context.Context, n *node, p packedApp) error {
	list, err := n.Blobs(ctx)
	if err != nil {
		return err
	}
	there := map[string]bool{}
	for _, b := range list.Blobs {
		there[b.Hash], there[b.SHA512] = true, true
	}
	needed := append([]manifest.Pair{{Key: p.m.CodeHash}}, p.m.Blobs...)
	for _, b := range p.m.Blobs {
		if b.Key == p.m.CodeHash { // it has a name there
			needed = p.m.Blobs
		}
	}
	for _, b := range needed {
		if there[b.Key] {
			continue
		}
		if err := sendBlob(ctx, n, p, b); err != nil {
			return err
		}
		there[b.Key] = true
	}
	return nil
}

func sendBlob(ctx context.Context, n *node, p packedApp, b manifest.Pair) error {
	r, err := p.open(b.Key, b.Value)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.CallerBlobMissing, "deploy", fault.Quote(b.Key), nil).WithHint("it is neither on the host nor beside the manifest: build the app again, or put it with 'troupe blob put'")
	case err != nil:
		return fileError(b.Value, err)
	}
	defer r.Close()
	_, err = n.PutBlob(ctx, b.Key, r)
	return err
}
