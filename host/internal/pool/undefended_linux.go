//go:build undefended

package pool

import (
	"os"
	"strings"

	"github.com/troupehost/troupe/host/sandbox"
)

// EnvWithout names, in programs that are built with the tag undefended, the layers that workers are started without, joined
// by commas.
const EnvWithout = "TROUPE_WITHOUT"

func leaveOut(p sandbox.Plan) sandbox.Plan {
	for layer := range strings.SplitSeq(os.Getenv(EnvWithout), ",") {
		p = p.Without(layer)
	}
	return p
}

func extraArgs() []string {
	if layers := os.Getenv(EnvWithout); layers != "" {
		return []string{sandbox.Without + layers}
	}
	return nil
}
