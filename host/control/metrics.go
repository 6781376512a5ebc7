package control

import (
	"bytes"
	"context"
	"net/http"

	"github.com/troupehost/troupe/host/control/api"
)

// metrics answers in the form of Prometheus. The host holds nothing while the reply is taken, so who takes it slowly delays
// nobody, and is cut off like any other caller.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), jsonTimeout)
	defer cancel()
	err := noBody(w, r)
	var b bytes.Buffer
	if err == nil {
		err = s.host.WriteMetrics(ctx, &b)
	}
	if err != nil {
		s.fail(w, err)
		return
	}
	s.hurry(w)
	w.Header().Set("Content-Type", api.TypeMetrics)
	_, _ = w.Write(b.Bytes()) // a caller that left needs no reply
}
