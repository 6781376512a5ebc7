package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"github.com/troupehost/troupe/actors/fault"
	"github.com/troupehost/troupe/actors/inspect"
	"github.com/troupehost/troupe/actors/meter"
	"github.com/troupehost/troupe/host/control/api"
)

func (a *app) reportsVerb() verb {
	return verb{
		use: "metrics COMMAND", short: "See, sign and verify what apps used",
		long: "For the metrics of the host itself see 'troupe node metrics'.",
		examples: []string{
			"troupe metrics show", "the totals of all apps",
			"troupe metrics report --out report.json", "signed by the worker key",
			"troupe metrics verify report.json", "by anybody, without a host",
		},
		exits: []int{exitOK, exitUsage},
		verbs: []verb{a.metricsShowVerb(), a.metricsReportVerb(), a.metricsVerifyVerb()},
	}
}

func (a *app) metricsShowVerb() verb {
	return verb{
		use: "show [ADDRESS...]", short: "Show the totals of apps",
		long: "Of all apps without addresses. Gas is in units of 1,024; storage and memory that were held are in byte-milliseconds.",
		examples: []string{
			"troupe metrics show", "a table, for people",
			"troupe metrics show 3f9a2c -o json | jq '.apps[0].gas_consumed'", hintAddress,
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: atLeast(0, ""), complete: a.completeApps,
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				which, err := resolveApps(ctx, n, args)
				if err != nil {
					return err
				}
				all, err := n.AppMetrics(ctx, which...)
				switch {
				case err != nil:
					return err
				case a.json():
					a.printJSON(api.AppMetricsList{Apps: all})
				default:
					a.printTotals(all)
				}
				return nil
			})
		},
	}
}

func resolveApps(ctx context.Context, n *node, args []string) ([]string, error) {
	var out []string
	for _, prefix := range args {
		address, err := resolveApp(ctx, n, prefix)
		if err != nil {
			return nil, err
		}
		out = append(out, address)
	}
	return out, nil
}

func (a *app) printTotals(all []inspect.AppMetrics) {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "APP\tRUNNING\tGAS\tSTARTS\tNET IN\tNET OUT\tREAD\tWRITTEN\tSTORED (B·MS)\tMEMORY (B·MS)\tTIP\n")
	for _, m := range all {
		address := m.Address
		if a.format.value != formWide {
			address = short(address)
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", fault.Quote(address), micros(int64(min(m.RunningTimeMS, 1<<50))*1000), m.Gas, m.Starts,
			bytesText(m.NetworkIngress), bytesText(m.NetworkEgress), bytesText(m.StorageRead), bytesText(m.StorageWrite), oneLine(m.StorageUsed), oneLine(m.MemoryUsed), m.Tip)
	}
	_ = w.Flush()
}

func (a *app) metricsReportVerb() verb {
	out := ""
	return verb{
		use: "report [flags] [ADDRESS...]", short: "Have the totals of apps signed by the worker key",
		long: `Of all apps without addresses, 64 to a report. Each report has a sequence number above all before it. Without --out, prints each
as a line of hex digits; 'troupe metrics verify' takes both forms.`,
		examples: []string{
			"troupe metrics report --out report.json", "to a file",
			"troupe metrics report 3f9a2c | troupe metrics verify -", hintAddress,
		},
		exits: with(exitsHost, exitNotFound, exitConflict), args: atLeast(0, ""), complete: a.completeApps,
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&out, "FILE"}, "out", "write the reports to FILE as JSON")
		},
		run: func(ctx context.Context, args []string) error {
			return a.at(ctx, served, func(ctx context.Context, n *node) error {
				which, err := resolveApps(ctx, n, args)
				if err != nil {
					return err
				}
				reports, err := n.Report(ctx, which...)
				if err != nil {
					return err
				}
				return a.giveReports(out, reports)
			})
		},
	}
}

func (a *app) giveReports(out string, reports []api.SignedReport) error {
	list := api.Reports{Reports: reports}
	if out != "" {
		text, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return fault.New(fault.BugUnexpected, "encode report", "", err)
		}
		if err := toFile(out, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err }); err != nil {
			return err
		}
	}
	switch {
	case a.json():
		a.printJSON(list)
	case out != "":
		for _, r := range reports {
			fmt.Fprintf(a.out, "sn %d  apps %d\n", r.SN, r.Apps)
		}
	default:
		for _, r := range reports {
			fmt.Fprintf(a.out, "%x\n", []byte(r.Encoded))
		}
	}
	if len(reports) == 0 {
		a.note("there is nothing to report: no app is deployed")
	}
	return nil
}

func (a *app) metricsVerifyVerb() verb {
	worker := ""
	return verb{
		use: "verify [flags] FILE", short: "Verify signed reports, and print what they say",
		long: `No host is needed. FILE is what 'troupe metrics report' gave, or one report as bytes; - is stdin. All reports must be good. Whose key
it is, is for you to know: --worker says whose it must be. Whether a report is newer than the last one is not asked.`,
		examples: []string{
			"troupe metrics verify report.json", `worker key, sequence number, apps, and "valid"`,
			"troupe metrics verify --worker 0x9e3f... - <report.json", "of this worker only",
		},
		exits: []int{exitOK, exitOther, exitUsage, exitNotFound, exitDenied, exitCanceled, exitLimit, exitBug}, args: exactly(1, "one file"),
		flags: func(fs *pflag.FlagSet) {
			fs.Var(word{&worker, "SS58|HEX"}, "worker", "the key that must have signed (default any)")
		},
		run: func(ctx context.Context, args []string) error {
			ctx, stop := a.untilInterrupt(ctx)
			defer stop()
			var key []byte
			if worker != "" {
				var err error
				if key, err = parseAccount(worker); err != nil {
					return err
				}
			}
			text, err := a.readInput(ctx, args[0])
			if err != nil {
				return err
			}
			parts, err := splitReports(text)
			if err != nil {
				return err
			}
			all := make([]verified, 0, len(parts))
			for _, b := range parts {
				r, err := meter.OpenReport(b)
				switch {
				case fault.CodeOf(err) == fault.CallerInvalid: // it cannot be decoded
					return fault.New(fault.CallerInvalid, "verify", "", errors.New("it is no report")).WithHint("pass what 'troupe metrics report' gave")
				case err != nil:
					return err
				case key != nil && !bytes.Equal(key, r.Worker[:]):
					return fault.New(fault.CallerSignatureWorker, "verify", hex.EncodeToString(r.Worker[:]), nil).WithHint("another worker has signed it")
				}
				all = append(all, verifiedOf(r))
			}
			if a.json() {
				a.printJSON(map[string]any{"valid": true, "reports": all})
				return nil
			}
			for _, v := range all {
				fmt.Fprintf(a.out, "worker   %s\nsession  %s\nsn       %d\nnonce    %s\n", v.Worker, v.Session, v.SN, v.Nonce)
				a.printTotals(v.Apps)
				fmt.Fprintf(a.out, "valid\n")
			}
			return nil
		},
	}
}

// verified is a report that its worker has signed. Its JSON form is a contract.
type verified struct {
	Worker  string               `json:"worker_key"`
	Session string               `json:"session"`
	SN      uint64               `json:"sn"`
	Nonce   string               `json:"nonce"`
	Apps    []inspect.AppMetrics `json:"apps"`
}

func verifiedOf(r meter.Report) verified {
	v := verified{
		Worker: hex.EncodeToString(r.Worker[:]), Session: hex.EncodeToString(r.Token.Session[:]), SN: r.Token.SN,
		Nonce: hex.EncodeToString(r.Token.Nonce[:]), Apps: []inspect.AppMetrics{},
	}
	for _, m := range r.Apps {
		v.Apps = append(v.Apps, inspect.AppMetrics{
			Address: hex.EncodeToString(m.Address[:]), Session: hex.EncodeToString(m.Session[:]), RunningTimeMS: m.RunningTimeMS, Gas: m.Gas,
			NetworkIngress: m.NetworkIngress, NetworkEgress: m.NetworkEgress, StorageRead: m.StorageRead, StorageWrite: m.StorageWrite,
			StorageUsed: m.StorageUsed.String(), MemoryUsed: m.MemoryUsed.String(), Tip: m.Tip, Starts: m.Starts,
		})
	}
	return v
}

// splitReports takes the JSON of 'metrics report', lines of hex digits, or one report as bytes.
func splitReports(text []byte) ([][]byte, error) {
	bad := func(why string) error {
		return fault.New(fault.CallerInvalid, "verify", "", errors.New(why)).WithHint("pass what 'troupe metrics report' gave")
	}
	trimmed := bytes.TrimSpace(text)
	var parts [][]byte
	switch {
	case len(trimmed) == 0:
		return nil, bad("it is empty")
	case trimmed[0] == '{':
		var list api.Reports
		if err := json.Unmarshal(trimmed, &list); err != nil {
			return nil, bad(fault.Quote(err.Error()))
		}
		for _, r := range list.Reports {
			parts = append(parts, r.Encoded)
		}
	default:
		for _, line := range strings.Fields(string(trimmed)) {
			b, err := hex.DecodeString(strings.TrimPrefix(line, "0x"))
			if err != nil {
				return [][]byte{text}, nil
			}
			parts = append(parts, b)
		}
	}
	if len(parts) == 0 {
		return nil, bad("it has no report")
	}
	return parts, nil
}
