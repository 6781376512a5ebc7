package control

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/host/control/api"
)

// putBlob streams a body into the store. A body that is too large or breaks off is an error of the reader, so that nothing is kept.
func (s *Server) putBlob(w http.ResponseWriter, r *http.Request) {
	blob, err := s.storeBlob(w, r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.opts.Log.Info().Str("blob", fault.Quote(blob.Hash)).Int64("bytes", blob.Bytes).Str("tenant", callerOf(r).Tenant()).Msg("blob stored")
	s.reply(w, http.StatusOK, blob)
}

func (s *Server) storeBlob(w http.ResponseWriter, r *http.Request) (inspect.Blob, error) {
	hash := r.PathValue("hash")
	if r.Pattern == api.RoutePutBlob {
		var err error
		if hash, err = blobHash(hash); err != nil {
			return inspect.Blob{}, err
		}
	}
	if r.ContentLength > s.opts.MaxBlobBytes {
		return inspect.Blob{}, tooLarge(s.opts.MaxBlobBytes)
	}
	body := &upload{r: r.Body, rc: http.NewResponseController(w), limit: s.opts.MaxBlobBytes, until: time.Now().Add(s.opts.FormTimeout)}
	_ = body.rc.SetReadDeadline(body.until)
	blob, err := s.host.PutBlob(r.Context(), hash, body)
	if err != nil {
		return inspect.Blob{}, cmp.Or(body.err, err) // whoever read it may have called it something else
	}
	_ = body.rc.SetReadDeadline(time.Time{})
	return blob, nil
}

func tooLarge(most int64) error {
	return fault.New(fault.CallerBlobTooLarge, "blob put", "", fmt.Errorf("more than %d bytes", most))
}

// upload is a body of bounded size. Its sender gets a second more for each MiB, so that a large blob is not cut off and a slow sender
// is.
type upload struct {
	r     io.Reader
	rc    *http.ResponseController
	limit int64
	until time.Time
	n     int64
	err   error // why it broke off
}

const uploadStep = 1 << 20 // bytes for a second

func (u *upload) Read(p []byte) (int, error) {
	if u.err != nil {
		return 0, u.err
	}
	n, err := u.r.Read(p)
	if before := u.n / uploadStep; n > 0 {
		u.n += int64(n)
		if steps := u.n/uploadStep - before; steps > 0 {
			u.until = u.until.Add(time.Duration(steps) * time.Second)
			_ = u.rc.SetReadDeadline(u.until)
		}
	}
	switch {
	case u.n > u.limit:
		u.err = tooLarge(u.limit)
		return 0, u.err
	case err != nil && !errors.Is(err, io.EOF):
		u.err = cutOff(err)
		return n, u.err
	}
	return n, err
}

// getBlob streams a blob. One that cannot be read to its end ends early, which its announced length shows.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) {
	err := noBody(w, r)
	var hash string
	if err == nil {
		hash, err = blobHash(r.PathValue("hash"))
	}
	var (
		blob io.ReadCloser
		size int64
	)
	if err == nil {
		blob, size, err = s.host.GetBlob(r.Context(), hash)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	defer blob.Close()
	w.Header().Set("Content-Type", api.TypeBytes)
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	if _, err := io.CopyBuffer(patient{w, http.NewResponseController(w), s.opts.SlowReader}, blob, make([]byte, api.MaxChunkBytes)); err != nil {
		s.opts.Log.Warn().Str("blob", hash).Err(err).Msg("blob was not sent whole")
	}
}

// patient gives a reader so long for each piece.
type patient struct {
	w    io.Writer
	rc   *http.ResponseController
	slow time.Duration
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.rc.SetWriteDeadline(time.Now().Add(p.slow))
	return p.w.Write(b)
}

func (s *Server) blobs(r *http.Request, _ caller) (any, error) {
	list := api.BlobList{Blobs: []inspect.Blob{}}
	blobs, used, quota, err := s.host.Blobs(r.Context())
	list.Blobs, list.UsedBytes, list.QuotaBytes = append(list.Blobs, blobs...), used, quota
	return list, err
}

func (s *Server) removeBlob(r *http.Request, c caller) (any, error) {
	hash, err := blobHash(r.PathValue("hash"))
	if err != nil {
		return nil, err
	}
	if err := s.host.RemoveBlob(r.Context(), hash); err != nil {
		return nil, err
	}
	s.opts.Log.Info().Str("blob", hash).Str("tenant", c.Tenant()).Msg("blob removed")
	return api.Done{Key: hash, State: "removed", At: now()}, nil
}

// blobHash returns a hash in its canonical spelling.
func blobHash(text string) (string, error) {
	kind, digits, _ := strings.Cut(strings.ToLower(text), ":")
	sum, err := hex.DecodeString(digits)
	if want := map[string]int{"sha256": 32, "sha512": 64}[kind]; err != nil || want == 0 || len(sum) != want {
		return "", invalid("blob "+fault.Quote(text), "pass sha256: or sha512: and the hash in hex digits")
	}
	return kind + ":" + digits, nil
}
