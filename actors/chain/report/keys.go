package report

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// keyPrefix begins the keys of all calls of the reporter in the outbox.
const keyPrefix = "worker/"

// reportKey names a report. A host that comes from a backup makes another one with the same number in the same session, so what was signed
// is part of it.
func reportKey(session ID, sn uint64, signed []byte) string {
	sum := blake2b.Sum256(signed)
	return fmt.Sprintf("%s%s/%s/%d/%x", keyPrefix, SettleUse, session, sn, sum[:8])
}

// parseReportKey reads what reportKey made.
func parseReportKey(key string) (session ID, sn uint64) {
	parts := strings.Split(key, "/")
	if len(parts) == 5 && session.UnmarshalText([]byte(parts[2])) == nil {
		sn, _ = strconv.ParseUint(parts[3], 10, 64)
	}
	return session, sn
}

// dutyOf says whose call has the key.
func dutyOf(key string) (Duty, bool) {
	name, _, _ := strings.Cut(strings.TrimPrefix(key, keyPrefix), "/")
	for d := RegisterWorker; d < endOfDuties; d++ {
		if d.String() == name && strings.HasPrefix(key, keyPrefix) {
			return d, true
		}
	}
	return 0, false
}
