package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/artifacts/wasm"
	"github.com/troupehost/troupe/host/internal/fetch"
)

// fetchDir has what is being fetched, in the data directory.
const fetchDir = "fetch"

// chainSources get what the chain names by its hash. What is here already is not fetched.
type chainSources struct {
	h *Host
	f *fetch.Fetcher
}

func newChainSources(h *Host) (*chainSources, error) {
	dir := filepath.Join(h.cfg.DataDir, fetchDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fault.New(fault.HostDataDir, "fetch", dir, err)
	}
	f, err := fetch.New(fetch.Config{Sources: commaList(h.cfg.Chain.Sources), Dir: dir, MaxBytes: h.cfg.Apps.MaxBlobBytes})
	return &chainSources{h, f}, err
}

// Manifest implements follow.Sources.
func (s *chainSources) Manifest(ctx context.Context, cid string, address manifest.Address) ([]byte, error) {
	return s.f.Manifest(ctx, cid, address)
}

// Blob implements follow.Sources.
func (s *chainSources) Blob(ctx context.Context, hash, cid string) error {
	if _, err := s.h.apps.blob(hash); fault.CodeOf(err) != fault.CallerBlobMissing {
		return err
	}
	c, err := s.f.Blob(ctx, hash, cid)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = s.h.PutBlob(ctx, hash, c)
	return err
}

// Image implements follow.Sources.
func (s *chainSources) Image(ctx context.Context, url string) (follow.Image, error) {
	if a, err := manifest.ParseAddress(url); err == nil {
		m, err := s.Manifest(ctx, "", a)
		return follow.Image{Manifest: m}, err
	}
	if strings.HasPrefix(url, "sha256:") || strings.HasPrefix(url, "sha512:") {
		if err := s.Blob(ctx, url, ""); err != nil {
			return follow.Image{}, err
		}
		return s.imageOf(ctx, url)
	}
	b, err := s.f.CID(ctx, url, s.h.cfg.Apps.MaxBlobBytes)
	if err != nil {
		return follow.Image{}, err
	}
	if m, err := manifestOf(b); err == nil {
		return follow.Image{Manifest: m}, nil
	}
	put, err := s.h.PutBlob(ctx, "", bytes.NewReader(b))
	if err != nil {
		return follow.Image{}, err
	}
	return s.imageOf(ctx, put.Hash)
}

// imageOf says what a blob is.
func (s *chainSources) imageOf(ctx context.Context, hash string) (follow.Image, error) {
	r, _, err := s.h.GetBlob(ctx, hash)
	if err != nil {
		return follow.Image{}, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, manifest.MaxTextBytes+1))
	if err != nil {
		return follow.Image{}, err
	}
	if bytes.HasPrefix(b, []byte("\x00asm")) || bytes.HasPrefix(b, wasm.CompressedPrefix) {
		return follow.Image{CodeHash: hash}, nil
	}
	m, err := manifestOf(b)
	return follow.Image{Manifest: m}, err
}

// manifestOf reads a manifest as it is encoded, or as text.
func manifestOf(b []byte) ([]byte, error) {
	if m, err := manifest.Decode(b); err == nil {
		return m.Encode(), nil
	}
	var m manifest.Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fault.New(fault.CallerManifest, "image", "", errors.New("it is neither a module nor a manifest"))
	}
	return m.Encode(), nil
}

// Config implements follow.Sources.
func (s *chainSources) Config(ctx context.Context, cid string) ([]byte, error) {
	b, err := s.f.CID(ctx, cid, maxAppConfig)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", fault.Quote(cid), err)
	}
	return b, nil
}
