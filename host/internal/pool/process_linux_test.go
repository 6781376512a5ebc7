package pool

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNumbersOfOthersAreLeftAlone: somebody else reaped a child, and its number is that of another process group.
func TestNumbersOfOthersAreLeftAlone(t *testing.T) {
	pidfd := -1
	gone := exec.Command("true")
	gone.SysProcAttr = &syscall.SysProcAttr{PidFD: &pidfd}
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "1000")
	other.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	p := adopt(other.Process.Pid, pidfd, r, func(bool) {})
	p.kill()
	<-p.dead
	p.kill()
	if p.known || p.cpu() != 0 {
		t.Errorf("it has the account of another: %v, %v", p.status, p.cpu())
	}
	if err := other.Process.Signal(unix.SIGTERM); err != nil {
		t.Error(err)
	}
	if err := other.Wait(); err == nil || err.Error() != "signal: terminated" {
		t.Errorf("the other ended by %v", err)
	}
}
