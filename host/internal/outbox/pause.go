package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/troupehost/troupe/artifacts/db"
)

const keyPause = "xp"

// Pause says that nothing is to be sent, why, and since when.
type Pause struct {
	Why string    `json:"why"`
	At  time.Time `json:"at"`
}

// ReadPause returns the pause, nil if there is none.
//
// # Errors
//
// host.data_dir_corrupt, host.disk_io.
func ReadPause(d *db.DB) (*Pause, error) {
	p := &Pause{}
	err := d.Get([]byte(keyPause), func(v []byte) error { return corrupt("pause", openJSON(v, p)) })
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// WritePause puts a pause on disk; nil: there is none any more.
//
// # Errors
//
// As DB.Write.
func WritePause(ctx context.Context, d *db.DB, p *Pause) error {
	if p == nil {
		return d.Remove(ctx, []byte(keyPause))
	}
	value, err := sealJSON(p)
	if err != nil {
		return err
	}
	return d.Write(ctx, db.Op{Key: []byte(keyPause), Value: value})
}

// OnTheirWay returns how many calls a database has that are not final.
func OnTheirWay(d *db.DB) (n int, err error) {
	err = d.Scan([]byte(prefixRecord), func(_, _ []byte) error { n++; return nil })
	return n, err
}
