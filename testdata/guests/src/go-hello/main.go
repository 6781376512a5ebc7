// Command go-hello is a guest: it prints its arguments and environment, and copies stdin to stdout.
package main

import (
	"fmt"
	"io"
	"os"
)

func main() {
	fmt.Println("hello from Go,", len(os.Args)-1, "arguments")
	for _, a := range os.Args[1:] {
		fmt.Println(a)
	}
	for _, e := range os.Environ() {
		fmt.Println("env", e)
	}
	if _, err := io.Copy(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
