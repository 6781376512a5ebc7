package host

import (
	"bytes"
	"context"
	"io"

	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/artifacts/blob"
)

// PutBlob stores what a reader gives, by the name that it is expected to have, or by its SHA-256 without one. It is on disk when
// this returns, and stays until RemoveBlob; with an error nothing of it does.
//
// # Errors
//
// caller.blob_mismatch, caller.blob_too_large, caller.quota, caller.invalid_request, busy.*, host.disk_*.
func (h *Host) PutBlob(ctx context.Context, name string, r io.Reader) (inspect.Blob, error) {
	var want blob.Name
	if name != "" {
		var err error
		if want, err = blob.ParseName(name); err != nil {
			return inspect.Blob{}, err
		}
	}
	if err := h.enter(); err != nil {
		return inspect.Blob{}, err
	}
	defer h.leave()
	i, err := h.blobs.Upload(ctx, r, want, h.cfg.Apps.MaxBlobBytes)
	return shownBlob(i), err
}

// GetBlob opens a blob, which is verified, and says how long it is. The caller closes it.
//
// # Errors
//
// caller.blob_missing, caller.invalid_request, host.disk_io.
func (h *Host) GetBlob(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	b, err := h.apps.code(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	return io.NopCloser(bytes.NewReader(b)), int64(len(b)), nil
}

// Blobs lists what was put or what apps need, and how many bytes all blobs take and may take, those of jobs included.
func (h *Host) Blobs(context.Context) (list []inspect.Blob, used, quota int64, err error) {
	for _, i := range h.blobs.List() {
		list = append(list, shownBlob(i))
	}
	return list, h.blobs.Bytes(), h.blobs.Quota(), nil
}

// RemoveBlob removes what was put.
//
// # Errors
//
// caller.blob_missing, caller.blob_in_use while an app needs it, host.disk_*.
func (h *Host) RemoveBlob(ctx context.Context, name string) error {
	hash, err := h.apps.blob(name)
	if err != nil {
		return err
	}
	return h.blobs.Delete(ctx, hash)
}

func shownBlob(i blob.Info) inspect.Blob {
	return inspect.Blob{Hash: i.Hash.Name().String(), SHA512: i.SHA512.String(), Bytes: i.Bytes, Since: i.Since, Apps: i.Apps}
}
