// Command go-app is a guest that serves queries and HTTP for as long as it lives, and shows what an app may do; see routes.
package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/troupehost/troupe/host/guest"
)

var started = time.Now()

// count is of this instance: what it has served.
var count int

// main takes as an argument how many events may be under way.
func main() {
	concurrent := 64
	if len(os.Args) > 1 {
		concurrent, _ = strconv.Atoi(os.Args[1])
	}
	err := guest.Serve(guest.Handlers{Query: query, HTTP: serve, Connection: echo, Concurrent: concurrent})
	if err != nil {
		guest.Log(guest.LevelError, err.Error())
		os.Exit(1)
	}
}

// query answers "count" with the count, "kv" and what else is in routes as HTTP does, and all else with the payload.
func query(q *guest.Query) ([]byte, error) {
	count++
	name, rest, _ := strings.Cut(q.Path, "?")
	switch f, ok := routes["/"+name]; {
	case name == "origin":
		return []byte(q.Origin), nil
	case name == "fail":
		return nil, &guest.Failure{Code: 7, Text: "asked to fail"}
	case name == "silent": // never answers
		guest.Sleep(24 * time.Hour)
		return nil, nil
	case ok:
		return f(&guest.Request{RawQuery: rest}, q.Payload)
	}
	return q.Payload, nil
}

// routes are answered with what they return.
var routes = map[string]func(r *guest.Request, body []byte) ([]byte, error){
	"/hello": func(*guest.Request, []byte) ([]byte, error) { return []byte("hello from an app\n"), nil },
	"/count": func(*guest.Request, []byte) ([]byte, error) { return strconv.AppendInt(nil, int64(count), 10), nil },
	"/total": func(*guest.Request, []byte) (out []byte, err error) { // as count, but of all instances
		lock, err := guest.Lock("total", time.Second)
		if err != nil {
			return nil, err
		}
		defer func() { _ = lock.Unlock() }()
		err = guest.Load("total", func(old []byte) []byte {
			n, _ := strconv.ParseUint(string(old), 10, 64)
			out = strconv.AppendUint(nil, n+1, 10)
			return out
		})
		return out, err
	},
	"/kv":    keyValue,
	"/burn":  burn,
	"/crash": func(*guest.Request, []byte) ([]byte, error) { panic("asked to crash") },
	"/exit": func(r *guest.Request, _ []byte) ([]byte, error) {
		os.Exit(number(r, "code", 3))
		return nil, nil
	},
	"/spin": func(*guest.Request, []byte) ([]byte, error) {
		for { //nolint:revive // that is what it is for
		}
	},
	"/grow": func(r *guest.Request, _ []byte) ([]byte, error) { // mb of memory, which stay
		for range number(r, "mb", 1<<20) {
			b := make([]byte, 1<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			grown = append(grown, b)
		}
		return []byte("grown"), nil
	},
	"/log": func(r *guest.Request, body []byte) ([]byte, error) {
		n := number(r, "lines", 1)
		for i := range n {
			guest.Log(guest.LevelInfo, fmt.Sprintf("line %d: %s", i, body))
		}
		return fmt.Appendf(nil, "%d lines", n), nil
	},
	"/print": func(_ *guest.Request, body []byte) ([]byte, error) {
		fmt.Printf("printed %s\n", body)
		return nil, nil
	},
	"/tip": func(r *guest.Request, _ []byte) ([]byte, error) {
		return nil, guest.Tip(uint64(number(r, "amount", 1)))
	},
	"/lock": func(r *guest.Request, _ []byte) ([]byte, error) { // and does not give it back
		_, err := guest.Lock(r.Param("path"), time.Duration(number(r, "ms", 0))*time.Millisecond)
		return []byte("locked"), err
	},
	"/sleep": func(r *guest.Request, _ []byte) ([]byte, error) { // by its own clock
		time.Sleep(time.Duration(number(r, "ms", 10)) * time.Millisecond)
		return []byte("slept"), nil
	},
	"/timer": func(r *guest.Request, _ []byte) ([]byte, error) {
		t, err := guest.NewTimer(time.Duration(number(r, "ms", 10)) * time.Millisecond)
		if err != nil {
			return nil, err
		}
		defer func() { _ = t.Close() }()
		return []byte("due"), t.Wait(guest.Forever)
	},
	"/fetch":     fetch,
	"/dial":      dial,
	"/listen":    listen,
	"/facts":     facts,
	"/secret":    secret,
	"/sign":      sign,
	"/blob":      blob,
	"/send":      send,
	"/recv":      recv,
	"/closechan": closeChannel,
	"/hand":      hand,
	"/taken":     taken,
	"/publish":   publish,
	"/subscribe": subscribe,
	"/next":      next,
}

var grown [][]byte

func number(r *guest.Request, name string, other int) int {
	if n, err := strconv.Atoi(r.Param(name)); err == nil {
		return n
	}
	return other
}

// burn uses the processor for ms milliseconds, or for so many rounds, which is the same gas each time.
func burn(r *guest.Request, _ []byte) ([]byte, error) {
	x := uint64(88172645463325252)
	round := func() {
		for range 10000 {
			x ^= x << 13
			x ^= x >> 7
			x ^= x << 17
		}
	}
	rounds := number(r, "rounds", 0)
	for range rounds {
		round()
	}
	for end := time.Now().Add(time.Duration(number(r, "ms", 0)) * time.Millisecond); time.Now().Before(end); rounds++ {
		round()
	}
	return fmt.Appendf(nil, "%d rounds, %x", rounds, x), nil
}

func serve(w *guest.Response, r *guest.Request) {
	count++
	path := r.Path
	if rest, ok := strings.CutPrefix(path, "/app/"); ok { // the host's prefix with the address, if it is there
		_, path, _ = strings.Cut(rest, "/")
		path = "/" + path
	}
	switch path {
	case "/echo":
		w.Header.Set("Content-Type", "application/octet-stream")
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Body.Read(buf)
			if _, e := w.Write(buf[:n]); e != nil || err != nil {
				return
			}
			_ = w.Flush()
		}
	case "/ws":
		s, err := guest.UpgradeWebSocket(w, r, 1<<20)
		if err != nil {
			return
		}
		defer func() { _ = s.Close() }()
		for {
			m, binary, err := s.Read()
			if err != nil || s.Write(m, binary) != nil {
				return
			}
		}
	case "/uptime":
		fmt.Fprintln(w, time.Since(started).Round(time.Millisecond))
	case "/header":
		for _, f := range r.Header {
			fmt.Fprintf(w, "%s: %s\n", f.Name, f.Value)
		}
	default:
		f, ok := routes[path]
		if !ok {
			w.WriteHeader(404)
			return
		}
		body, err := io.ReadAll(r.Body)
		var out []byte
		if err == nil {
			out, err = f(r, body)
		}
		if err != nil {
			w.WriteHeader(500)
			out = []byte(err.Error() + "\n")
		}
		_, _ = w.Write(out)
	}
}

// echo serves a TLS connection that came by its server name.
func echo(name string, c *guest.Conn) {
	fmt.Fprintf(c, "this is %s, you are %s\n", name, c.Peer())
	_, _ = io.Copy(c, c)
}
