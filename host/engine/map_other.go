//go:build !linux

package engine

import (
	"errors"
	"os"
)

// canMap says whether files are mapped here.
const canMap = false

// mapCode never maps: the bytes are copied.
func mapCode([]byte, *os.File) bool { return false }

func scratchFile(int64) (*os.File, error) { return nil, errors.ErrUnsupported }

func fill(*os.File, []byte) error { return errors.ErrUnsupported }
