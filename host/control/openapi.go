package control

import (
	"net/http"

	"github.com/troupehost/troupe/host/control/api"
)

func (s *Server) openAPI(w http.ResponseWriter, r *http.Request) {
	if err := noBody(w, r); err != nil {
		s.fail(w, err)
		return
	}
	s.hurry(w)
	w.Header().Set("Content-Type", api.TypeJSON)
	_, _ = w.Write(api.OpenAPI(s.opts.Version)) // a caller that left needs no reply
}
