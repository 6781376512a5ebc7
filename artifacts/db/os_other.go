//go:build !linux

package db

import (
	"os"

	"github.com/troupehost/troupe/actors/fault"
)

func unlockDir(f *os.File) error { return f.Close() }

func lockDir(string) (*os.File, error) {
	return nil, fault.New(fault.HostUnsupported, "open data directory", "", nil)
}

func checkDir(string) error {
	return fault.New(fault.HostUnsupported, "open data directory", "", nil)
}

func openFile(path string, flag int) (*os.File, error) { return os.OpenFile(path, flag, 0o600) }
func openOwn(path string, flag int) (*os.File, error)  { return openFile(path, flag) }

func held(*os.File) bool { return true }

func freeBytes(string) (int64, error) { return 0, fault.New(fault.HostUnsupported, "statfs", "", nil) }
func allocate(string, int64) error    { return fault.New(fault.HostUnsupported, "fallocate", "", nil) }
func blocks(string) int64             { return 0 }

func syncData(f *os.File) error { return f.Sync() }
