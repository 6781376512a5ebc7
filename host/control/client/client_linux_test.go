package client

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/troupehost/troupe/actors/fault"
)

// A host that accepts and says nothing, as one that was stopped, does not hold its callers for ever.
func TestSilentHost(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := New(socket, 0)
	c.timeout = 200 * time.Millisecond
	_, err = c.Status(t.Context())
	if !errors.Is(err, fault.CallerUnreachable) || !strings.Contains(err.Error(), fmt.Sprintf("process %d sent no reply within 200ms", os.Getpid())) {
		t.Errorf("%v", err)
	}
}
