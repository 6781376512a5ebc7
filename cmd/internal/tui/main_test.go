package tui

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"

	"github.com/troupehost/troupe/host/control/bundle/bundletest"
	"github.com/troupehost/troupe/testdata/hostile"
)

// TestMain is the console itself if a test of a terminal started it: with a host that a bundle describes.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("TOP_WITH_ACTORS")); err == nil {
		var names []string
		if os.Getenv("TOP_HOSTILE") != "" {
			for _, c := range hostile.Cases() {
				names = append(names, c.Text)
			}
		}
		looks := Colour
		if os.Getenv("NO_COLOR") != "" {
			looks = Plain
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		b := bundletest.Rich(n, names...)
		if err := Run(ctx, Options{Source: newFake(b), In: os.Stdin, Out: os.Stdout, Looks: looks, View: os.Getenv("TOP_VIEW")}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}
