package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/testdata/bench/report"
)

// server answers HTTP with what the guest c-handler returns, of which it makes an instance for each request.
type server struct {
	name, addr, target, header string
	close                      func()
}

// oursHTTP deploys the guest as an app, and serves it as users reach it.
func oursHTTP(bin string, code []byte) (servers []server, err error) {
	h, end, err := startHost(bin)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	ctx := context.Background()
	if _, err := h.OpenSession(ctx, host.SessionRequest{}); err != nil {
		return nil, err
	}
	blob, err := h.PutBlob(ctx, "", bytes.NewReader(code))
	if err != nil {
		return nil, err
	}
	m := &manifest.Manifest{Version: 2, CodeHash: blob.Hash, OnDemand: true, MaxQueryBytes: 1 << 20, Label: "handler", Terms: &manifest.Terms{Grants: manifest.Grants{HTTP: true}}}
	app, err := h.Deploy(ctx, host.DeployRequest{Manifest: m.Encode()})
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = h.ServeApps(l) }()
	target := "/app/" + app.Address + "/"
	return []server{
		{"troupe, confined, metered and reset, replies not signed", l.Addr().String(), target, "X-Troupe-Sign: no\r\n", end},
		{"troupe, the same, replies signed", l.Addr().String(), target, "", func() {}},
	}, nil
}

// served serves a handler as a plain program of Go does.
func served(name string, h http.Handler, end func()) (server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return server{}, err
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	return server{name, l.Addr().String(), "/", "", func() { _ = s.Close(); end() }}, nil
}

// wazeroHTTP is a plain server with wazero in its process: not confined, not metered.
func wazeroHTTP(code []byte) (server, error) {
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	module, err := rt.CompileModule(ctx, code)
	if err != nil {
		return server{}, err
	}
	config := wazero.NewModuleConfig().WithName("")
	return served("net/http with wazero in its process", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		input, err := httputil.DumpRequest(r, true)
		if err != nil {
			panic(err)
		}
		mod, err := rt.InstantiateModule(ctx, module, config)
		if err != nil {
			panic(err)
		}
		defer mod.Close(ctx)
		base := mod.ExportedGlobal("__heap_base").Get()
		mod.Memory().Write(uint32(base), input)
		got, err := mod.ExportedFunction("http").Call(ctx, base, uint64(len(input)))
		if err != nil {
			panic(err)
		}
		answer, _ := mod.Memory().Read(uint32(got[0]), uint32(got[0]>>32))
		_, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(body)
	}), func() { _ = rt.Close(ctx) })
}

// workerdScript has an instance of the guest for each request.
const workerdScript = `import code from "handler.wasm";
const input = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
export default {
  fetch(request) {
    const { memory, http, __heap_base } = new WebAssembly.Instance(code, {}).exports;
    new Uint8Array(memory.buffer).set(input, __heap_base.value);
    const packed = http(__heap_base.value, input.length);
    const answer = new Uint8Array(memory.buffer, Number(packed & 0xffffffffn), Number(packed >> 32n));
    let body = 0;
    while (answer[body] != 13 || answer[body + 2] != 13) body++;
    return new Response(answer.slice(body + 4), { headers: { "Content-Type": "text/plain" } });
  },
};
`

const workerdConfig = `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .handler)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const handler :Workerd.Worker = (
  modules = [(name = "main", esModule = embed "main.js"), (name = "handler.wasm", wasm = embed "handler.wasm")],
  compatibilityDate = "2025-01-01",
);
`

// workerdHTTP starts workerd, which is on one core by its nature.
func workerdHTTP(binary string, code []byte) (s server, err error) {
	if binary, err = exec.LookPath(binary); err != nil {
		return server{}, fmt.Errorf("workerd is not on this machine: npm install workerd, and -workerd names it: %w", err)
	}
	dir, err := os.MkdirTemp("", "workerd-")
	if err != nil {
		return server{}, err
	}
	for name, b := range map[string][]byte{"main.js": []byte(workerdScript), "config.capnp": []byte(workerdConfig), "handler.wasm": code} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			return server{}, err
		}
	}
	out, in, err := os.Pipe()
	if err != nil {
		return server{}, err
	}
	defer out.Close()
	cmd := exec.Command(binary, "serve", "--control-fd=3", filepath.Join(dir, "config.capnp"))
	cmd.ExtraFiles, cmd.Stderr = []*os.File{in}, os.Stderr
	if err := cmd.Start(); err != nil {
		return server{}, err
	}
	_ = in.Close()
	end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait(); _ = os.RemoveAll(dir) }
	var told struct {
		Event string
		Port  int
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if json.Unmarshal(lines.Bytes(), &told) == nil && told.Event == "listen" {
			return server{"workerd, an instance in one isolate", fmt.Sprintf("127.0.0.1:%d", told.Port), "/", "", end}, nil
		}
	}
	end()
	return server{}, errors.New("workerd did not say where it listens")
}

// reportHTTP has all servers flooded by turns.
func reportHTTP(bin, guests, workerd string, rounds int, span time.Duration) ([]report.Section, error) {
	code, err := os.ReadFile(filepath.Join(guests, "c-handler.wasm"))
	if err != nil {
		return nil, err
	}
	servers, err := oursHTTP(bin, code)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, s := range servers {
			s.close()
		}
	}()
	plain, err := wazeroHTTP(code)
	if err != nil {
		return nil, err
	}
	servers = append(servers, plain)
	bare, err := served("net/http alone, no guest", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write([]byte("hello from C, 1\n"))
	}), func() {})
	if err != nil {
		return nil, err
	}
	servers = append(servers, bare)
	table := report.Section{Name: "HTTP over loopback, an instance for each request; servers and load share the cores",
		Cells: [][]string{{"server", "connections", "in a second", "p50", "p99"}}}
	if other, err := workerdHTTP(workerd, code); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
	} else {
		servers = append(servers, other)
	}
	for _, conns := range []int{1, 16, 64} {
		got, rates := make([]report.Samples, len(servers)), make([]float64, len(servers))
		for range rounds {
			for n, s := range servers {
				request, end := report.HandlerRequest(s.target, s.header)
				all, rate, err := report.Flood(s.addr, request, end, conns, span)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", s.name, err)
				}
				got[n], rates[n] = append(got[n], all...), rates[n]+rate/float64(rounds)
			}
		}
		for n, s := range servers {
			table.Cells = append(table.Cells, []string{s.name, fmt.Sprint(conns), report.Rate(rates[n]), report.Micros(got[n].At(0.5)), report.Micros(got[n].At(0.99))})
		}
	}
	return []report.Section{table}, nil
}
