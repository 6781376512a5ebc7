package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/cmd/internal/settings"
	"github.com/troupehost/troupe/host/control/api"
)

// grant says what one token or certificate may do, as the host reads it.
type grant struct {
	Name    string      `json:"name"`
	Rights  []api.Right `json:"rights"`
	Expires time.Time   `json:"expires,omitzero"`
	SHA256  string      `json:"sha256,omitempty"` // of a token; a certificate has none
}

// grants is a file of tokens and certificates.
type grants struct {
	Tokens       []grant `json:"tokens,omitempty"`
	Certificates []grant `json:"certificates,omitempty"`
}

const (
	tokenPrefix  = "troupe_" // so that scanners of secrets find it where it should not be
	tokenBytes   = 32
	maxGrantFile = 1 << 20
	maxTokenName = 64
)

// rightsFlag is a list of rights. Each contains those before it, but for payload, which only admin contains.
type rightsFlag struct{ list *[]api.Right }

func (f rightsFlag) Type() string { return "LIST" }

func (f rightsFlag) String() string {
	if f.list == nil {
		return ""
	}
	return rightsText(*f.list)
}

func (f rightsFlag) Set(text string) error {
	var list []api.Right
	for name := range strings.SplitSeq(text, ",") {
		r := api.Right(strings.TrimSpace(name))
		if !slices.Contains(api.Rights, r) {
			return fmt.Errorf("choose of view, payload, operate and admin, joined by commas")
		}
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	*f.list = list
	return nil
}

func rightsText(list []api.Right) string {
	var names []string
	for _, r := range list {
		names = append(names, string(r))
	}
	return strings.Join(names, ",")
}

func (a *app) tokenVerb() verb {
	return verb{
		use: "token COMMAND", short: "Say who may reach a host over TLS, and what they may do there",
		long: `A host that listens with TLS reads a file that names tokens and certificates. It holds the SHA-256 of each token, not the token, and
is read again when the host reloads.`,
		examples: []string{
			"troupe token new ci --tokens tokens.json --rights view,operate > ci.token", "for a program",
			"troupe token list --tokens tokens.json", "names, rights and ends",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.tokenNewVerb(), a.tokenListVerb(), a.tokenRemoveVerb()},
	}
}

var exitsToken = with(exitsText, exitNotFound, exitDenied, exitConflict, exitHost)

// tokensFlag names the file.
func tokensFlag(fs *pflag.FlagSet, p *string) {
	fs.Var(word{p, "FILE"}, "tokens", "the file of tokens and certificates that the host reads")
}

func needTokens(path string) error {
	if path == "" {
		return usage("no file of tokens", "name the one that the host reads: --tokens FILE")
	}
	return nil
}

func (a *app) tokenNewVerb() verb {
	var path string
	var expires moment
	certificate := false
	rights := []api.Right{api.View}
	return verb{
		use: "new [flags] NAME", short: "Make a token, and print it this once",
		long: `Prints nothing but the token: send it into a file that only its user may read. The host learns of it with the next reload. With
--certificate no token is made: who shows a certificate of that common name is given the rights.`,
		examples: []string{
			"troupe token new ci --tokens tokens.json --rights view,operate > ci.token", "may look, and submit and retry",
			"troupe token new guest --tokens tokens.json --expires 168h > guest.token", "may look for a week",
			"troupe token new ops --certificate --tokens tokens.json --rights admin", "whoever shows a certificate for ops may do all",
		},
		exits: exitsToken, args: exactly(1, "a name"),
		flags: func(fs *pflag.FlagSet) {
			tokensFlag(fs, &path)
			fs.Var(rightsFlag{&rights}, "rights", "what it may do: of view, payload, operate and admin, joined by commas")
			fs.Var(&expires, "expires", "it ends then (default never)")
			fs.BoolVar(&certificate, "certificate", false, "NAME is the common name of a certificate")
		},
		run: func(_ context.Context, args []string) error {
			if err := needTokens(path); err != nil {
				return err
			}
			g := grant{Name: args[0], Rights: rights, Expires: expires.from(time.Now()).Truncate(time.Second)}
			return a.newToken(path, g, certificate)
		},
	}
}

func (a *app) newToken(path string, g grant, certificate bool) error {
	if g.Name == "" || len(g.Name) > maxTokenName || fault.Quote(g.Name) != g.Name || strings.ContainsAny(g.Name, " :/\"") {
		return usage("name "+fault.Quote(g.Name), "a name has 1 to 64 plain characters, and none of ':', '/', '\"' and space")
	}
	all, err := readGrants(path)
	if errors.Is(err, fault.CallerNotFound) {
		err = nil // the first one makes the file
	}
	if err != nil {
		return err
	}
	list, token := &all.Tokens, ""
	if certificate {
		list = &all.Certificates
	} else {
		secret := make([]byte, tokenBytes)
		_, _ = rand.Read(secret) // it never fails
		token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
		sum := sha256.Sum256([]byte(token))
		g.SHA256 = hex.EncodeToString(sum[:])
	}
	if slices.ContainsFunc(*list, func(x grant) bool { return x.Name == g.Name }) {
		return fault.New(fault.CallerConflict, "token", g.Name, nil).WithHint("there is one of this name: choose another, or 'troupe token rm' it first")
	}
	*list = append(*list, g)
	if err := writeGrants(path, all); err != nil {
		return err
	}
	switch {
	case a.json():
		a.printJSON(struct {
			grant
			Token string `json:"token,omitempty"`
		}{g, token})
	case token != "":
		fmt.Fprintln(a.out, token)
	}
	a.note("a host that runs learns of it when it reloads: 'troupe node reload', or SIGHUP")
	return nil
}

// readGrants reads a file that only its owner may change.
func readGrants(path string) (all grants, err error) {
	f, err := os.Open(path)
	if err != nil {
		return all, fileError(path, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && !settings.Trusted(info) {
		return all, fault.New(fault.CallerDenied, "tokens", fault.Quote(path), nil).WithHint("others may change this file: make it yours, with chmod 600")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxGrantFile+1))
	if err != nil {
		return all, fileError(path, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&all); err != nil || len(text) > maxGrantFile {
		return all, fault.New(fault.CallerConfig, "tokens", fault.Quote(path), err).WithHint("this is no file of tokens: name another one")
	}
	return all, nil
}

func writeGrants(path string, all grants) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	if err := e.Encode(all); err != nil {
		return fault.New(fault.BugUnexpected, "tokens", "", err)
	}
	return writePrivate(path, b.Bytes())
}

// listedGrant is one row of 'token list', without anything that helps to guess.
type listedGrant struct {
	Name    string      `json:"name"`
	Kind    string      `json:"kind"` // token, certificate
	Rights  []api.Right `json:"rights"`
	Expires time.Time   `json:"expires,omitzero"`
	Expired bool        `json:"expired"`
}

func (a *app) tokenListVerb() verb {
	var path string
	return verb{
		use: "list", short: "List who may reach the host, and what they may do",
		examples: []string{"troupe token list --tokens tokens.json", "never a token: nobody knows it any more"},
		exits:    exitsToken,
		flags:    func(fs *pflag.FlagSet) { tokensFlag(fs, &path) },
		run: func(context.Context, []string) error {
			if err := needTokens(path); err != nil {
				return err
			}
			all, err := readGrants(path)
			if err != nil {
				return err
			}
			list := []listedGrant{}
			add := func(kind string, from []grant) {
				for _, g := range from {
					list = append(list, listedGrant{g.Name, kind, g.Rights, g.Expires, !g.Expires.IsZero() && !time.Now().Before(g.Expires)})
				}
			}
			add("token", all.Tokens)
			add("certificate", all.Certificates)
			if a.json() {
				a.printJSON(map[string]any{"grants": list})
				return nil
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tKIND\tRIGHTS\tEXPIRES")
			for _, g := range list {
				end := "never"
				switch {
				case g.Expired:
					end = clock(g.Expires) + " (over)"
				case !g.Expires.IsZero():
					end = clock(g.Expires)
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", oneLine(g.Name), g.Kind, cmp.Or(oneLine(rightsText(g.Rights)), "-"), end)
			}
			_ = w.Flush()
			return nil
		},
	}
}

func (a *app) tokenRemoveVerb() verb {
	var path string
	return verb{
		use: "rm [flags] NAME...", short: "Refuse tokens and certificates from the next reload on",
		examples: []string{"troupe token rm ci --tokens tokens.json && troupe node reload --yes", "and at once"},
		exits:    with(exitsToken, exitSome), args: atLeast(1, "one or more names"),
		flags: func(fs *pflag.FlagSet) { tokensFlag(fs, &path) },
		run: func(_ context.Context, args []string) error {
			if err := needTokens(path); err != nil {
				return err
			}
			all, err := readGrants(path)
			if err != nil {
				return err
			}
			errs := make([]error, len(args))
			for i, name := range args {
				before := len(all.Tokens) + len(all.Certificates)
				named := func(g grant) bool { return g.Name == name }
				all.Tokens, all.Certificates = slices.DeleteFunc(all.Tokens, named), slices.DeleteFunc(all.Certificates, named)
				if len(all.Tokens)+len(all.Certificates) == before {
					errs[i] = fault.New(fault.CallerNotFound, "token", fault.Quote(name), nil).WithHint("'troupe token list' shows what there is")
					if len(args) > 1 {
						a.printFailure("rm", name, errs[i])
					}
				}
			}
			if slices.Contains(errs, nil) {
				if err := writeGrants(path, all); err != nil {
					return err
				}
			}
			return together(errs)
		},
	}
}
