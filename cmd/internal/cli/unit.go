package cli

import (
	"context"
	"io"
	"os"

	"github.com/troupehost/troupe/cmd/internal/systemd"
)

// hereabouts is what a unit file runs if this program does not know its own path.
const hereabouts = "/usr/bin/troupe"

func (a *app) unitVerb() verb {
	return verb{
		use: "unit", short: "Print a unit file for systemd, which runs this program",
		long: `It is hardened, and says of each line why it is there. A socket unit may hold the sockets, with FileDescriptorName= control,
control-tls, apps or apps-tls; those by TLS need the flags of their certificates.`,
		examples: []string{
			"troupe node unit | sudo tee /etc/systemd/system/troupe.service", "then: systemctl daemon-reload && systemctl enable --now troupe",
		},
		exits: exitsText, settle: settleEnv,
		run: func(context.Context, []string) error {
			program, err := os.Executable()
			if err != nil {
				program = hereabouts
			}
			_, _ = io.WriteString(a.out, systemd.Unit(program))
			return nil
		},
	}
}
