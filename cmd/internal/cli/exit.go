package cli

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"

	"github.com/troupehost/troupe/actors/fault"
)

// The exit codes. They are a contract with scripts.
const (
	exitOK          = 0
	exitOther       = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitNotFound    = 4
	exitDenied      = 5
	exitConflict    = 6
	exitCanceled    = 7
	exitSome        = 8
	exitBusy        = 9
	exitInvalid     = 20
	exitTrap        = 21
	exitLimit       = 22
	exitSuspect     = 23
	exitHost        = 24
	exitBug         = 70
	exitOurs        = 125 // with --guest-exit: whatever is not the guest's own code
)

var exitTexts = map[int]string{
	exitOK: "ok", exitOther: "the output cannot be written", exitUsage: "wrong usage", exitUnreachable: "no host answers", exitNotFound: "not found",
	exitDenied: "not allowed", exitConflict: "conflict or quota", exitCanceled: "timed out or canceled", exitSome: "some targets failed",
	exitBusy: "busy, retry later", exitInvalid: "the code is not acceptable", exitTrap: "the guest trapped or exited with a non-zero code",
	exitLimit: "the guest went over a limit", exitSuspect: "the code or the machine, it cannot be told", exitHost: "a fault of the host",
	exitBug: "a bug in troupe", exitOurs: "with --guest-exit: anything but the guest's own code",
}

// exitOf returns the exit code of a fault: by its class, and within classes of several codes by itself.
func exitOf(class fault.Class, code fault.Code) int {
	switch code {
	case fault.GuestStartTrap, fault.GuestTrap, fault.GuestExit, fault.GuestBadOutput, fault.GuestBadReply, fault.GuestRefused, fault.GuestNotServing:
		return exitTrap
	case fault.GuestCodeTooLarge, fault.GuestDecompressionBomb, fault.GuestPrepareCPU, fault.GuestPrepareMemory,
		fault.GuestOutputLimit, fault.GuestCPULimit, fault.GuestWallLimit, fault.GuestMemory, fault.GuestStack, fault.GuestTooManySymbols,
		fault.GuestTooComplex, fault.GuestGasLimit, fault.GuestNoReply:
		return exitLimit
	case fault.CallerNotFound, fault.HostArtifactMissing:
		return exitNotFound
	case fault.CallerBlobMissing:
		return exitNotFound
	case fault.CallerDenied, fault.CallerSignature, fault.CallerSignatureExpired, fault.CallerSignatureScope, fault.CallerSignatureWorker,
		fault.CallerSignatureReplay:
		return exitDenied
	case fault.CallerConflict, fault.CallerStale, fault.CallerQuota, fault.CallerAppExists, fault.CallerAppState, fault.CallerBlobInUse, fault.CallerBlobMismatch,
		fault.CallerNoSession, fault.CallerSession, fault.CallerTxFailed, fault.CallerTxNonce, fault.CallerTxExpired:
		return exitConflict
	case fault.CallerClosed, fault.CallerUnreachable:
		return exitUnreachable
	case fault.CallerOutput:
		return exitOther
	}
	switch class {
	case fault.Guest:
		return exitInvalid
	case fault.Suspect:
		return exitSuspect
	case fault.Host:
		return exitHost
	case fault.Busy:
		return exitBusy
	case fault.Caller:
		return exitUsage
	case fault.Canceled:
		return exitCanceled
	}
	return exitBug
}

// exit ends a verb that has already said what there is to say.
type exit struct {
	code  int
	guest *int32 // the guest's own code
}

func (e exit) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// mistake is a command line that cannot be understood.
type mistake struct{ what, hint string }

func (m mistake) Error() string { return m.what }

func usage(what, hint string) error { return mistake{what, hint} }

// finish prints err to w, unless the verb has done so, and returns the exit code.
func finish(w io.Writer, err error, guestExit bool) int {
	var code int
	e, said := errors.AsType[exit](err)
	m, isMistake := errors.AsType[mistake](err)
	switch {
	case err == nil:
		code = exitOK
	case said:
		code = e.code
	case errors.Is(err, syscall.EPIPE): // whoever read our output left: nothing to say, and nobody to say it to
		code = exitCanceled
	case isMistake:
		printError(w, m.what, fault.CallerInvalid, m.hint)
		code = exitUsage
	default:
		f := fault.From(err)
		printError(w, f.Error(), f.Code, f.Hint)
		if m, ok := errors.AsType[misread](err); ok {
			_, _ = io.WriteString(w, m.pointer())
		}
		code = exitOf(f.Class, f.Code)
	}
	switch {
	case !guestExit:
		return code
	case e.guest != nil && uint8(*e.guest) != 0: // a multiple of 256 would pass for success
		return int(uint8(*e.guest))
	case code != exitOK:
		return exitOurs
	}
	return code
}

func printError(w io.Writer, message string, code fault.Code, hint string) {
	fmt.Fprintf(w, "error: %s\n", oneLine(message))
	if code != "" {
		fmt.Fprintf(w, "code:  %s\n", fault.Quote(string(code)))
	}
	if hint != "" {
		fmt.Fprintf(w, "hint:  %s\n", oneLine(hint))
	}
}

// oneLine defuses text for the terminal without cutting it.
func oneLine(s string) string {
	return harmless(strings.Join(strings.Fields(s), " "))
}

// harmless quotes what a terminal would obey, however long the text is.
func harmless(s string) string {
	var b strings.Builder
	for part := range slices.Chunk([]rune(s), 50) {
		b.WriteString(fault.Quote(string(part)))
	}
	return b.String()
}

func exitHelp(codes []int) string {
	var b strings.Builder
	for _, c := range slices.Sorted(slices.Values(codes)) {
		fmt.Fprintf(&b, "  %-4d%s\n", c, exitTexts[c])
	}
	return b.String()
}

func allExits() []int { return slices.Collect(maps.Keys(exitTexts)) }
