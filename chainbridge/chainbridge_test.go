package chainbridge

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

func TestOpen(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Root: [32]byte{7}, Log: zerolog.Nop()}
	c, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.Account(t.Context(), cfg.Root)
	if err != nil || root.Free != RootBalance {
		t.Errorf("root has %q, %v", root.Free, err)
	}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, fault.HostDataDirLocked) {
		t.Errorf("a second one on the directory: %v", err)
	}
	server := httptest.NewServer(c.Handler())
	defer server.Close()
	client, err := Dial(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if p, err := client.Prove(t.Context(), nil); err != nil || p.Height != first.Head.Height || p.Genesis.String() != first.Genesis.String() {
		t.Errorf("%+v, %v", p, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	c, err = Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	again, err := c.Info(t.Context())
	if err != nil || again.Genesis != first.Genesis {
		t.Errorf("the genesis is %s, and was %s: %v", again.Genesis, first.Genesis, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}

	// Another genesis than that of the blocks is another chain.
	if err := os.Remove(filepath.Join(cfg.Dir, genesisName)); err != nil {
		t.Fatal(err)
	}
	cfg.Root = [32]byte{8}
	if _, err := Open(t.Context(), cfg); !errors.Is(err, fault.HostChainOther) {
		t.Errorf("another genesis: %v", err)
	}
	if err := os.WriteFile(filepath.Join(cfg.Dir, genesisName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), cfg); err == nil {
		t.Error("a damaged genesis opens")
	}
}

func TestDialRefuses(t *testing.T) {
	for _, url := range []string{"", "chain", "ftp://host", Embedded, "http://", "unix://", "ws://host:port"} {
		if c, err := Dial(url); !errors.Is(err, fault.CallerChainURL) {
			t.Errorf("%q: %v, %v", url, c, err)
		}
	}
}
