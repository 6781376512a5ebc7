// Command troupe runs untrusted WebAssembly in confined worker processes. See 'troupe --help'.
package main

import (
	"os"

	"github.com/troupehost/troupe/cmd/internal/cli"
)

func main() { os.Exit(cli.Main()) }
