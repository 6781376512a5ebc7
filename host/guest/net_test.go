package guest_test

import (
	"net"
	"strconv"
	"testing"
)

// freePort is one that nobody listened at just now.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

func portText(p uint16) string { return strconv.Itoa(int(p)) }
