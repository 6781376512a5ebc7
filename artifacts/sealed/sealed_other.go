//go:build !linux

package sealed

import (
	"os"

	"github.com/troupehost/troupe/actors/fault"
)

func unsupported() error { return fault.New(fault.HostUnsupported, "memory file", "", nil) }

// Create is refused: only Linux has sealed memory files.
func Create(string, func(w *os.File) error) (*File, error) { return nil, unsupported() }

// NewUnsealed is refused.
func NewUnsealed(string) (*os.File, error) { return nil, unsupported() }

// NewScratch is refused.
func NewScratch(string, int64) (*os.File, error) { return nil, unsupported() }

// Seal is refused.
func Seal(*os.File) (*File, error) { return nil, unsupported() }

// IsSealed is always false.
func IsSealed(uintptr) bool { return false }

// Map is refused.
func (s *File) Map() ([]byte, func(), error) { return nil, nil, unsupported() }
