package guest_test

import (
	"testing"

	"github.com/troupehost/troupe/artifacts/manifest"
	"github.com/troupehost/troupe/host/internal/calls"
)

// BenchmarkHandler is a request with a fresh state, in this process.
func BenchmarkHandler(b *testing.B) {
	for _, name := range []string{"c-handler", "go-handler"} {
		b.Run(name, func(b *testing.B) {
			app, server := load(b, name), handlers(nil)
			for b.Loop() {
				if _, out := handle(b, app, server, &lines{}, "http", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); out.Fault != nil {
					b.Fatal(out.Fault)
				}
			}
		})
	}
}

// BenchmarkService is a query to an instance that lives on, in this process.
func BenchmarkService(b *testing.B) {
	for _, name := range []string{"c-service", "go-app"} {
		b.Run(name, func(b *testing.B) {
			r := start(b, name, calls.Config{}, calls.AppConfig{})
			for b.Loop() {
				if got := r.query("echo", "payload"); got != "payload" {
					b.Fatal(got)
				}
			}
		})
	}
	b.Run("go-app one by one", func(b *testing.B) {
		r := start(b, "go-app", calls.Config{}, calls.AppConfig{}, "1")
		for b.Loop() {
			if got := r.query("echo", "payload"); got != "payload" {
				b.Fatal(got)
			}
		}
	})
	b.Run("go-app with a silent query", func(b *testing.B) {
		r := app(b, manifest.Grants{})
		r.ask("silent", "")
		for b.Loop() {
			if got := r.query("echo", "payload"); got != "payload" {
				b.Fatal(got)
			}
		}
	})
}
