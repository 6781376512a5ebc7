package systemd

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/troupehost/troupe/actors/fault"
)

// Listeners takes over the sockets that the manager holds for this process, by their names (FileDescriptorName= in a socket unit).
// Each must have one of the names that are known, and each name may come once.
func Listeners(known ...string) (map[string]net.Listener, error) {
	return listeners(activation.Files(true), known)
}

func listeners(files []*os.File, known []string) (all map[string]net.Listener, err error) {
	all = map[string]net.Listener{}
	defer func() {
		for _, f := range files {
			_ = f.Close() // a listener has a copy
		}
		if err != nil {
			for _, l := range all {
				_ = l.Close()
			}
			all = nil
		}
	}()
	for _, f := range files {
		refuse := func(why string, err error) error {
			return fault.New(fault.CallerConfig, "socket activation", fault.Quote(f.Name()), err).WithHint(why)
		}
		switch {
		case !slices.Contains(known, f.Name()):
			return all, refuse("set FileDescriptorName= of the socket unit to one of "+strings.Join(known, ", "), nil)
		case all[f.Name()] != nil:
			return all, refuse("this name has two sockets: keep one ListenStream= for each name", nil)
		}
		l, err := net.FileListener(f)
		if err != nil {
			return all, refuse("use ListenStream= in the socket unit", fmt.Errorf("it is no socket that listens: %w", err))
		}
		all[f.Name()] = l
	}
	return all, nil
}
