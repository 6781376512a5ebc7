package host_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/host"
)

// TestTheLogCanBeReadBack has a silent host, and one whose log somebody has.
func TestTheLogCanBeReadBack(t *testing.T) {
	var out bytes.Buffer
	for name, log := range map[string]zerolog.Logger{"silent": {}, "written": zerolog.New(&out).Level(zerolog.WarnLevel)} {
		if name == "silent" {
			log = zerolog.Nop()
		}
		h, err := host.Start(t.Context(), host.Config{DataDir: t.TempDir(), BallastBytes: host.NoLimit, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		own := h.Log()
		own.Warn().Str("code", "x.y").Msg("said by \x1b[2J somebody")
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		lines, dropped, err := h.LogLines(t.Context(), 0, 1<<20, 0)
		if err != nil || dropped != 0 {
			t.Fatalf("%s: %d dropped, %v", name, dropped, err)
		}
		var said []string
		for _, l := range lines {
			said = append(said, l.Message)
		}
		if all := strings.Join(said, "\n"); !strings.Contains(all, "host started") || !strings.Contains(all, "said by \ufffd[2J somebody") || !strings.Contains(all, "host stopped") {
			t.Errorf("%s: %q", name, said)
		}
		if _, _, err := h.LogLines(t.Context(), lines[len(lines)-1].Seq, 1, 0); err != nil {
			t.Error(err)
		}
	}
	if text := out.String(); strings.Contains(text, "host started") || strings.Count(text, "\"code\":\"x.y\"") != 1 {
		t.Errorf("the embedder has %s", text)
	}
}
