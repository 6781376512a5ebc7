package sandbox

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// enterEmptyRoot makes an empty file system, that cannot be written to, the root of this process, and lets go of the old
// one. The process must have a mount namespace of its own.
func enterEmptyRoot() error {
	step := func(what string, err error) error { return fmt.Errorf("%s: %w", what, err) }
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return step("make mounts private", err)
	}
	var at string
	err := errors.New("no directory to mount at")
	for _, at = range []string{"/proc", "/tmp", "/dev", "/sys"} {
		if err = unix.Mount("troupe", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,nr_inodes=2,mode=555"); err == nil {
			break
		}
	}
	if err != nil {
		return step("mount an empty file system", err)
	}
	if err := unix.Chdir(at); err != nil {
		return step("enter it", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return step("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil { // the old root, which lies on top of the new one
		return step("let go of the old root", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return step("enter the new root", err)
	}
	const readOnly = unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if err := unix.Mount("troupe", "/", "tmpfs", readOnly, "size=4k,nr_inodes=2,mode=555"); err != nil {
		return step("make the new root read-only", err)
	}
	return isEmptyRoot()
}

// isEmptyRoot tries what an empty root does not allow.
func isEmptyRoot() error {
	left, err := os.ReadDir("/")
	if err != nil || len(left) > 0 {
		return errors.Join(err, fmt.Errorf("the new root has %d entries", len(left)))
	}
	if err := unix.Mkdir("/x", 0o700); err != unix.EROFS {
		return fmt.Errorf("the new root can be written to: %v", err)
	}
	var st unix.Stat_t
	if unix.Stat("/proc/self", &st) == nil || unix.Stat("../proc", &st) == nil {
		return errors.New("the old root can be reached")
	}
	return nil
}

// securebits keep user 0 from being anything special, for ever.
const securebits = 1<<0 | 1<<1 | // NOROOT
	1<<2 | 1<<3 | // NO_SETUID_FIXUP
	1<<5 | // KEEP_CAPS_LOCKED
	1<<6 | 1<<7 // NO_CAP_AMBIENT_RAISE

// dropCapabilities takes all capabilities from all threads. Who has the right to it also gives up what is special about
// user 0, so that none come back. The bounding set stays: it counts for programs with capabilities only, which NoNewPrivs
// takes them from, and each of its 41 bits would cost a stop of all threads.
func dropCapabilities() error {
	if hasCgo() {
		return errCgo
	}
	privileged := hasCapability(unix.CAP_SETPCAP)
	if privileged {
		if err := everyThread(unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, securebits, 0, 0, 0); err != nil {
			return fmt.Errorf("securebits: %w", err)
		}
	}
	head, none := capHeader(), [2]unix.CapUserData{}
	if err := everyThread(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&head)), uintptr(unsafe.Pointer(&none)), 0, 0, 0); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	got := [2]unix.CapUserData{{Effective: 1}}
	if err := unix.Capget(&head, &got[0]); err != nil || got != none {
		return errors.Join(err, errors.New("not read back"))
	}
	if bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0); privileged && (err != nil || bits != securebits) {
		return errors.Join(err, fmt.Errorf("securebits are %#x", bits))
	}
	return nil
}

func capHeader() unix.CapUserHeader {
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

func hasCapability(n uint) bool {
	head, got := capHeader(), [2]unix.CapUserData{}
	return unix.Capget(&head, &got[0]) == nil && got[n/32].Effective&(1<<(n%32)) != 0
}

// noNewPrivileges is for all threads; the filter of system calls passes it on where there is no other way.
func noNewPrivileges() error {
	err := everyThread(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	if errors.Is(err, errCgo) {
		err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	}
	if err != nil {
		return err
	}
	if got, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || got != 1 {
		return errors.Join(err, errors.New("not read back"))
	}
	return nil
}

// LandlockABI returns the version of Landlock that the kernel has, 0 for none.
func LandlockABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

// landlockRights are all that a version can forbid, and the size of the structure that says so.
func landlockRights(abi int) (attr unix.LandlockRulesetAttr, size uintptr) {
	attr.Handled_access_fs, size = 1<<13-1, 8
	if abi >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 4 {
		attr.Handled_access_net, size = unix.LANDLOCK_ACCESS_NET_BIND_TCP|unix.LANDLOCK_ACCESS_NET_CONNECT_TCP, 16
	}
	if abi >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 6 {
		attr.Scoped, size = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET|unix.LANDLOCK_SCOPE_SIGNAL, 24
	}
	return attr, size
}

// restrictFiles forbids all that Landlock can forbid, without a rule that allows any of it. outer is a directory from
// before, by which it is tried.
func restrictFiles(outer int) error {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return fmt.Errorf("the kernel refuses: %w", errno)
	}
	if hasCgo() {
		return errCgo
	}
	attr, size := landlockRights(int(abi))
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("make rules: %w", errno)
	}
	defer unix.Close(int(rules))
	if err := everyThread(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("restrict: %w", err)
	}
	fd, err := unix.Openat(outer, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	if err != unix.EACCES {
		return fmt.Errorf("a directory could be read: %v", err)
	}
	return nil
}
