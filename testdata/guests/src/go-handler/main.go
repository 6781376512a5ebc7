// Command go-handler is a guest whose state is fresh for each request: it counts, and the count is always 1.
package main

import (
	"fmt"
	"io"

	"github.com/troupehost/troupe/host/guest"
	"github.com/troupehost/troupe/host/guest/handler"
)

var count int

func init() {
	handler.Query = func(q *guest.Query) ([]byte, error) {
		count++
		if q.Path == "fail" {
			return nil, fmt.Errorf("asked to fail")
		}
		return fmt.Appendf(nil, "%d %s %s %s", count, q.Path, q.Origin, q.Payload), nil
	}
	handler.HTTP = func(w *guest.Response, r *guest.Request) {
		count++
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(400)
			return
		}
		w.Header.Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%d %s %s %d bytes\n", count, r.Method, r.Target, len(body))
	}
}

func main() {}
