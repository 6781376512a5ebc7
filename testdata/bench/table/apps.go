//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// deployed is what the rows of apps are about: HTTP, queries, and what apps take that nobody asks.
func (r *rig) deployed() (rows []report.Row) {
	const http = "HTTP of a handler, a fresh state each, 16 connections"
	h, err := r.start(host.Config{})
	if err == nil {
		defer h.Close()
		_, err = h.OpenSession(r.ctx, host.SessionRequest{})
	}
	if err != nil {
		return []report.Row{report.Failed(http, err)}
	}
	for _, f := range []struct {
		what string
		add  func(h *host.Host, what string) ([]report.Row, error)
	}{
		{http, r.http}, {"query to a handler", r.query}, {"heap and stacks of an idle app", r.idleApps},
	} {
		more, err := f.add(h, f.what)
		if rows = append(rows, more...); err != nil {
			rows = append(rows, report.Failed(f.what, err))
		}
	}
	return rows
}

// handler deploys the guest c-handler under a label.
func (r *rig) handler(h *host.Host, label string) (address string, err error) {
	b, err := h.PutBlob(r.ctx, "", bytes.NewReader(r.guest("c-handler")))
	if err != nil {
		return "", err
	}
	m := &manifest.Manifest{Version: 2, CodeHash: b.Hash, OnDemand: true, MaxQueryBytes: 1 << 20, Label: label, Terms: &manifest.Terms{Grants: manifest.Grants{HTTP: true}}}
	app, err := h.Deploy(r.ctx, host.DeployRequest{Manifest: m.Encode()})
	return app.Address, err
}

func (r *rig) http(h *host.Host, what string) (rows []report.Row, err error) {
	address, err := r.handler(h, "http")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- h.ServeApps(l) }()
	defer func() { _ = l.Close(); <-ended }()
	flood := func(header string) (report.Samples, float64, error) {
		request, end := report.HandlerRequest("/app/"+address+"/", header)
		return report.Flood(l.Addr().String(), request, end, 16, r.span)
	}
	const unsigned = "X-Troupe-Sign: no\r\n"
	if _, _, err := flood(unsigned); err != nil { // it finds its pace
		return nil, err
	}
	all, rate, err := flood(unsigned)
	if err != nil {
		return nil, err
	}
	rows = append(rows, report.AtLeast(what, 8000, rate, report.Rate), report.AtMost(what+", p99", 5000, all.At(0.99), report.Micros))
	if all, rate, err = flood(""); err != nil {
		return rows, err
	}
	return append(rows, report.Row{What: what + ", replies signed", Measured: report.Rate(rate) + ", p99 " + report.Micros(all.At(0.99))}), nil
}

// query is beside a run of the same code that is no app's.
func (r *rig) query(h *host.Host, what string) ([]report.Row, error) {
	address, err := r.handler(h, "query")
	if err != nil {
		return nil, err
	}
	payload := bytes.Repeat([]byte("p"), 512)
	first, err := r.execute(h, host.Request{Code: r.guest("c-handler"), Entry: run.Entry{Mode: run.Bytes, Name: "query"}, Input: append([]byte("\n\n"), payload...)})
	if err != nil {
		return nil, err
	}
	same := func(got []byte) error {
		if !bytes.Equal(got, payload) {
			return fmt.Errorf("%q came back", got)
		}
		return nil
	}
	asked := func(int) error {
		got, err := h.Query(r.ctx, host.AppQuery{Address: address, Path: "x", Payload: payload})
		return errors.Join(err, same(got.Output))
	}
	bare := func(int) error {
		got, err := r.execute(h, host.Request{CodeHash: first.CodeHash, Entry: run.Entry{Mode: run.Bytes, Name: "query"}, Input: append([]byte("\n\n"), payload...)})
		return errors.Join(err, same(got.Result))
	}
	if err := asked(0); err != nil {
		return nil, err
	}
	var a, b report.Samples
	for range r.times(3) {
		more, _, err := r.many(1, asked)
		if err != nil {
			return nil, err
		}
		a = append(a, more...)
		if more, _, err = r.many(1, bare); err != nil {
			return nil, err
		}
		b = append(b, more...)
	}
	row := func(what string, q float64) report.Row {
		return report.Row{What: what, Measured: report.Micros(a.At(q))}.Against("host.Execute", a.At(q), b.At(q), report.Micros)
	}
	return []report.Row{row(what+", p50; what it used is written before its reply", 0.5), row(what+", p99", 0.99)}, nil
}

// idleApps deploys many apps on demand, and asks each of them once.
func (r *rig) idleApps(h *host.Host, what string) ([]report.Row, error) {
	apps := r.times(1000)
	taken := func() float64 {
		runtime.GC()
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	kilo := func(bytes float64) string { return fmt.Sprintf("%.1f KB", bytes/1e3) }
	before := taken()
	addresses := make([]string, apps)
	begin := time.Now()
	for i := range addresses {
		var err error
		if addresses[i], err = r.handler(h, fmt.Sprint("idle ", i)); err != nil {
			return nil, err
		}
	}
	each := time.Since(begin) / time.Duration(apps)
	fresh := (taken() - before) / float64(apps)
	for _, a := range addresses {
		if _, err := h.Query(r.ctx, host.AppQuery{Address: a, Path: "x"}); err != nil {
			return nil, err
		}
	}
	asked := (taken() - before) / float64(apps)
	return []report.Row{
		report.AtMost(fmt.Sprintf("%s of %d on demand, never asked", what, apps), 64e3, fresh, kilo),
		report.AtMost(what+", asked once", 64e3, asked, kilo),
		{What: "deployment of an app, on disk when it is answered", Measured: report.Micros(float64(each.Nanoseconds()) / 1e3)},
	}, nil
}
