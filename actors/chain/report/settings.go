package report

import (
	"cmp"
	"time"
)

// Settings are the settings of the core. Zero fields mean the defaults.
type Settings struct {
	Operator         ID            // account that the chain is to have as the worker's operator; zero: whichever
	Node             string        // id under which the node offers itself for compute requests; empty: it does not
	Interval         time.Duration // between two reports. Default 600 s
	GasUntilReport   uint64        // used by all apps together before a report is made early, in units of the metrics; 0: none is
	Refresh          time.Duration // age of an attestation on the chain at which it is made anew. Default 24 h
	MetricsEvery     time.Duration // between two reports of the node's metrics. Default 60 s
	LookEvery        time.Duration // between two looks at the chain when nothing seems to have changed. Default 60 s
	ScoreEvery       time.Duration // between two questions for a score that is not there yet. Default 5 s; a challenge asks each second
	Retry, MaxRetry  time.Duration // after a failure; it doubles from the first to the second. Default 1 s and 60 s
	Window           uint64        // blocks in which the answer to a challenge counts. Default 10
	Requests         int           // ReportNow that wait. Default 256
	Apps             int           // whose payments are remembered. Default 4096
	OpenReports      int           // made and not final, at which no more are made. Default 256
	MetricsPerWindow int           // calls about the node's metrics in 10 blocks, two for each report. At least 2. Default 20
}

const (
	maxAddresses  = 4096 // of one ReportNow
	maxPage       = 1000 // apps of one List
	maxTries      = 3    // of a ReportNow that the chain or the worker refuses
	beatEvery     = time.Second
	metricsBlocks = 10 // the window of Settings.MetricsPerWindow
)

func (o Settings) withDefaults() Settings {
	o.Interval = cmp.Or(o.Interval, 600*time.Second)
	o.Refresh = cmp.Or(o.Refresh, 24*time.Hour)
	o.MetricsEvery = cmp.Or(o.MetricsEvery, time.Minute)
	o.LookEvery = cmp.Or(o.LookEvery, time.Minute)
	o.ScoreEvery = cmp.Or(o.ScoreEvery, 5*time.Second)
	o.Retry = cmp.Or(o.Retry, time.Second)
	o.MaxRetry = max(cmp.Or(o.MaxRetry, time.Minute), o.Retry)
	o.Window = cmp.Or(o.Window, 10)
	o.Requests = cmp.Or(o.Requests, 256)
	o.Apps = cmp.Or(o.Apps, 4096)
	o.OpenReports = cmp.Or(o.OpenReports, 256)
	o.MetricsPerWindow = max(cmp.Or(o.MetricsPerWindow, 20), 2)
	return o
}
