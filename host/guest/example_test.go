package guest_test

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/troupehost/troupe/host/guest"
	"github.com/troupehost/troupe/host/guest/handler"
)

// A service: main calls Serve, which returns when the host has no more for it.
func ExampleServe() {
	visits := 0
	err := guest.Serve(guest.Handlers{
		Query: func(q *guest.Query) ([]byte, error) {
			err := guest.Load("count", func(old []byte) []byte {
				n, _ := strconv.Atoi(string(old))
				return strconv.AppendInt(nil, int64(n+1), 10)
			})
			if err != nil {
				return nil, err
			}
			return guest.Get("count")
		},
		HTTP: func(w *guest.Response, r *guest.Request) {
			visits++
			w.Header.Set("Content-Type", "text/plain")
			fmt.Fprintf(w, "visit %d of %s\n", visits, r.Path)
		},
	})
	fmt.Println(errors.Is(err, errors.ErrUnsupported)) // here, where no host is
	// Output: true
}

// A handler: an init function says what to do, and main is empty.
func Example_handler() {
	handler.HTTP = func(w *guest.Response, r *guest.Request) {
		fmt.Fprintf(w, "hello, %s\n", r.Param("name"))
	}
	fmt.Printf("%q\n", guest.AnswerHTTP([]byte("GET /?name=you HTTP/1.1\r\nHost: x\r\n\r\n"), handler.HTTP))
	// Output: "HTTP/1.1 200 \r\nContent-Length: 11\r\n\r\nhello, you\n"
}
