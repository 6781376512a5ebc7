package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/troupehost/troupe/actors/run"
	"github.com/troupehost/troupe/host"
	"github.com/troupehost/troupe/host/worker"
)

func main() {
	worker.Main() // this executable is its own worker; without it, troupe-worker must stand beside it

	ctx := context.Background()
	h, err := host.Start(ctx, host.Config{DataDir: "data"})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()

	code, err := os.ReadFile("testdata/guests/hash-puzzle.wasm")
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := h.Execute(ctx, host.Request{
		Code:  code,
		Entry: run.Entry{Mode: run.Invoke, Name: "run", Args: []string{"0", "4"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipt.Verdict, string(receipt.Result))
}
