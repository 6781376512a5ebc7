package appdata

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/sessions"
	"github.com/troupehost/troupe/artifacts/db"
	"github.com/troupehost/troupe/artifacts/manifest"
)

// Keys in the database "state".
const (
	keySession     = "as"
	prefixRecord   = "ar" // address -> the app
	prefixProgress = "ap" // address -> what changes while it runs
	prefixEntry    = "ak" // address, HMAC of the key -> a sealed entry
)

// maxRecord bounds what an app brings along, so that its record is one value.
const maxRecord = 160 << 10

// Store keeps the worker session and the deployed apps.
type Store struct {
	db     *db.DB
	commit *db.Committer
	noter  *db.Committer
}

var _ sessions.Store = (*Store)(nil)

// NewStore returns a store in a database.
func NewStore(d *db.DB) *Store {
	return &Store{db: d, commit: db.NewCommitter(d), noter: db.NewNoter(d)}
}

func recordKey(a manifest.Address) []byte   { return append([]byte(prefixRecord), a[:]...) }
func progressKey(a manifest.Address) []byte { return append([]byte(prefixProgress), a[:]...) }

// Load returns all that is kept, apps in the order of their addresses.
//
// # Errors
//
// host.data_dir_corrupt for a record that does not verify, host.disk_io.
func (s *Store) Load(ctx context.Context) (sessions.Saved, error) {
	var out sessions.Saved
	err := s.db.Get([]byte(keySession), func(v []byte) error {
		w, err := decodeSession(v)
		out.Session = &w
		return corrupt("session", err)
	})
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return sessions.Saved{}, err
	}
	at := map[manifest.Address]int{}
	err = s.db.Scan([]byte(prefixRecord), func(k, v []byte) error {
		r, err := decodeRecord(v)
		if err == nil && string(k[len(prefixRecord):]) != string(r.Address[:]) {
			err = errRecord
		}
		at[r.Address] = len(out.Apps)
		out.Apps = append(out.Apps, r)
		return errors.Join(ctx.Err(), corrupt("app "+hex.EncodeToString(k[len(prefixRecord):]), err))
	})
	if err != nil {
		return sessions.Saved{}, err
	}
	found := 0
	err = s.db.Scan([]byte(prefixProgress), func(k, v []byte) error {
		k = k[len(prefixProgress):]
		if len(k) != len(manifest.Address{}) {
			return nil // nobody wrote this
		}
		n, ok := at[manifest.Address(k)]
		if !ok {
			return nil // noted after the app was removed
		}
		found++
		var err error
		out.Apps[n].State, err = decodeProgress(v)
		return errors.Join(ctx.Err(), corrupt("metrics of app "+hex.EncodeToString(k), err))
	})
	if err == nil && found < len(out.Apps) {
		err = corrupt("metrics", fmt.Errorf("%d of %d apps have none", len(out.Apps)-found, len(out.Apps)))
	}
	if err != nil {
		return sessions.Saved{}, err
	}
	return out, nil
}

// SaveSession replaces the worker session.
func (s *Store) SaveSession(ctx context.Context, w sessions.WorkerSession) error {
	return s.commit.Write(ctx, db.Op{Key: []byte(keySession), Value: encodeSession(w)})
}

// SaveApp replaces an app, its progress included.
//
// # Errors
//
// caller.invalid_request for a manifest and a config that are too large together, and those of the database.
func (s *Store) SaveApp(ctx context.Context, r sessions.Record) error {
	if n := len(r.Manifest) + len(r.Config); n > maxRecord {
		return fault.New(fault.CallerInvalid, "save app", "", fmt.Errorf("manifest and config have %d bytes, at most %d may be kept", n, maxRecord))
	}
	return s.commit.Write(ctx,
		db.Op{Key: recordKey(r.Address), Value: encodeRecord(r)},
		db.Op{Key: progressKey(r.Address), Value: encodeProgress(r.State)})
}

// RemoveApp removes an app. One that is not there is fine. Its key-value space and its log stay.
func (s *Store) RemoveApp(ctx context.Context, a manifest.Address) error {
	return s.db.Remove(ctx, recordKey(a), progressKey(a))
}

// Note replaces the progress of an app, which SaveApp has saved.
func (s *Store) Note(ctx context.Context, a manifest.Address, p sessions.Progress) error {
	return s.noter.Write(ctx, db.Op{Key: progressKey(a), Value: encodeProgress(p)})
}

// Sync returns when all that was noted is on disk.
func (s *Store) Sync(ctx context.Context) error { return s.db.Sync(ctx) }

func corrupt(what string, err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.HostDataDirCorrupt, "read", what, err)
}
