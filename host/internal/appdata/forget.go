package appdata

import (
	"bytes"
	"context"

	"github.com/troupehost/troupe/artifacts/db"
)

// Forget has a database forget the worker session and all apps with their totals, as a start without Resume does. Key-value spaces and
// logs stay. It returns how many apps there were.
//
// # Errors
//
// As DB.Remove.
func Forget(ctx context.Context, d *db.DB) (apps int, err error) {
	keys := [][]byte{[]byte(keySession)}
	for _, prefix := range []string{prefixRecord, prefixProgress} {
		err := d.Scan([]byte(prefix), func(k, _ []byte) error {
			if keys = append(keys, bytes.Clone(k)); prefix == prefixRecord {
				apps++
			}
			return nil
		})
		if err != nil {
			return apps, err
		}
	}
	for len(keys) > 0 {
		n := min(len(keys), 1000)
		if err := d.Remove(ctx, keys[:n]...); err != nil {
			return apps, err
		}
		keys = keys[n:]
	}
	return apps, nil
}
