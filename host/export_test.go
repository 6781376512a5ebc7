package host

import "github.com/troupehost/troupe/artifacts"

// Ridden returns how many runs of an artifact went past the actors.
func (h *Host) Ridden(artifact string) uint64 {
	key, err := artifacts.ParseKey(artifact)
	if err != nil {
		panic(err)
	}
	return h.lanes.Ended(key)
}
