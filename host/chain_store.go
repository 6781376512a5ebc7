package host

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/troupehost/troupe/actors/chain"
	"github.com/troupehost/troupe/actors/chain/follow"
	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/artifacts/db"
)

// Keys in the database "state".
const (
	keyFollowed  = "df" // how far the chain was followed
	prefixPlaced = "dp" // the number of a compute request -> what its agent was asked for
)

// followedTo is how far the chain was followed. Its JSON form is what is on disk.
type followedTo struct {
	Genesis chain.Hash   `json:"genesis"`
	Cursor  chain.Cursor `json:"cursor"`
}

// demandStore keeps what a follower has to know after a restart.
type demandStore struct{ db *db.DB }

var _ follow.Store = demandStore{}

func newDemandStore(d *db.DB) demandStore { return demandStore{d} }

func demandCorrupt(err error) error {
	if err == nil {
		return nil
	}
	return fault.New(fault.HostDataDirCorrupt, "what the chain asked for", "", err)
}

// Load implements follow.Store.
func (s demandStore) Load(context.Context) (saved follow.Saved, err error) {
	var at followedTo
	err = s.db.Get([]byte(keyFollowed), func(v []byte) error { return demandCorrupt(json.Unmarshal(v, &at)) })
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return saved, err
	}
	saved.Genesis, saved.Cursor = at.Genesis, at.Cursor
	err = s.db.Scan([]byte(prefixPlaced), func(_, v []byte) error {
		var p follow.Placed
		if err := json.Unmarshal(v, &p); err != nil {
			return demandCorrupt(err)
		}
		saved.Placed = append(saved.Placed, p)
		return nil
	})
	return saved, err
}

func (s demandStore) put(ctx context.Context, key string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, db.Op{Key: []byte(key), Value: b})
}

// SaveCursor implements follow.Store.
func (s demandStore) SaveCursor(ctx context.Context, genesis chain.Hash, at chain.Cursor) error {
	return s.put(ctx, keyFollowed, followedTo{genesis, at})
}

// SavePlaced implements follow.Store.
func (s demandStore) SavePlaced(ctx context.Context, p follow.Placed) error {
	return s.put(ctx, prefixPlaced+p.Request, p)
}

// DropPlaced implements follow.Store.
func (s demandStore) DropPlaced(ctx context.Context, request string) error {
	return s.db.Remove(ctx, []byte(prefixPlaced+request))
}
