package host_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/host"
)

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// TestLogNamesWhatItIsAbout follows one run through the log, and finds nothing of its payload there.
func TestLogNamesWhatItIsAbout(t *testing.T) {
	const secret = "a secret argument"
	log := &lockedBuffer{}
	h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit, Name: "named", Log: zerolog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	r := execute(t, h, host.Request{Code: guest(t, "hash-puzzle"), Entry: invoke("run", "0", "1")})
	_ = execute(t, h, host.Request{Code: guest(t, "echo-wasi"), Stdin: strings.NewReader(secret), Stdout: &bytes.Buffer{}})
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{ // by message: fields
		"preparing": {"host", "actor", "job", "code_hash", "priority"},
		"executing": {"host", "actor", "job", "artifact", "priority"},
		"executed":  {"host", "job", "code_hash", "verdict"},
	}
	for line := range strings.Lines(log.b.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		message, _ := fields["message"].(string)
		for _, f := range want[message] {
			if fields[f] == nil {
				t.Errorf("%q has no %s: %s", message, f, line)
			}
		}
		if hash, ok := fields["code_hash"]; !ok || hash == r.CodeHash {
			delete(want, message)
		}
	}
	if len(want) > 0 {
		t.Errorf("not logged: %v", want)
	}
	if strings.Contains(log.b.String(), secret) {
		t.Error("the log has a payload")
	}
}
