package sessions

import "encoding/hex"

// errorText is a cause that is only read.
type errorText string

func (e errorText) Error() string { return string(e) }

func hexOf(b [32]byte) string {
	if b == ([32]byte{}) {
		return ""
	}
	return hex.EncodeToString(b[:])
}
