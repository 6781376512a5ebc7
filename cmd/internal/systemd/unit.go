package systemd

import (
	_ "embed"
	"strings"
)

//go:embed troupe.service
var unit string

// Unit returns the unit file, which runs this program.
func Unit(program string) string { return strings.ReplaceAll(unit, "@PROGRAM@", program) }
