// Command gasfit makes the table of gas weights: it measures what instructions take in the engine's compiler, fits weights
// to that, and reports how well they foretell it.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

const usage = `usage: go run ./cmd/internal/gasfit [-dir DIR] [-rounds N] [-only PREFIX] measure|fit|report

measure   runs the benchmarks and writes DIR/measured.csv (with -only: prints the rows that begin so)
fit       writes artifacts/wasm/weights_v1.go from DIR/measured.csv
report    writes DIR/report.txt

To be run at the root of the repository.
`

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "gasfit:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("gasfit", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	dir := flags.String("dir", "testdata/gas/v1", "")
	rounds := flags.Int("rounds", 200, "")
	only := flags.String("only", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	data := filepath.Join(*dir, "measured.csv")
	switch flags.Arg(0) {
	case "measure":
		rows, err := measure(context.Background(), stderr, *rounds, func(name string) bool { return strings.HasPrefix(name, *only) })
		if err != nil {
			return err
		}
		if *only != "" {
			return writeRows(stdout, rows)
		}
		var b bytes.Buffer
		if err := writeRows(&b, rows); err != nil {
			return err
		}
		return os.WriteFile(data, b.Bytes(), 0o644)
	case "fit", "report":
		f, err := os.Open(data)
		if err != nil {
			return err
		}
		defer f.Close()
		rows, err := readRows(f)
		if err != nil {
			return fmt.Errorf("%s: %w", data, err)
		}
		t, err := fit(rows)
		if err != nil {
			return err
		}
		if flags.Arg(0) == "fit" {
			return os.WriteFile("artifacts/wasm/weights_v1.go", t.source(1), 0o644)
		}
		return os.WriteFile(filepath.Join(*dir, "report.txt"), report(rows, t), 0o644)
	}
	flags.Usage()
	return fmt.Errorf("%q is none of measure, fit, report", flags.Arg(0))
}
