//go:build !linux

package sandbox

// LandlockABI is 0: there is none.
func LandlockABI() int { return 0 }
