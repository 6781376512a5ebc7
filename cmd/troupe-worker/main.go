// Command troupe-worker is the process in which guest code is compiled and run. The host starts it; people do not.
package main

import (
	"fmt"
	"os"

	"github.com/troupehost/troupe/host/wire"
	"github.com/troupehost/troupe/host/worker"
)

func main() {
	worker.Main()
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		fmt.Println("troupe-worker, build", wire.BuildID(), "on", wire.Engine())
		return
	}
	fmt.Fprintln(os.Stderr, "error: troupe-worker is started by a host, not by hand")
	fmt.Fprintln(os.Stderr, "hint: use 'troupe run app.wasm' or 'troupe serve'")
	os.Exit(2)
}
