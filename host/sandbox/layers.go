package sandbox

// Names of the layers.
const (
	Env        = "env"
	Files      = "fds"
	UserNS     = "userns"
	MountNS    = "mntns"
	PIDNS      = "pidns"
	NetNS      = "netns"
	IPCNS      = "ipcns"
	UTSNS      = "utsns"
	Root       = "root"
	Landlock   = "landlock"
	Caps       = "caps"
	NoNewPrivs = "nnp"
	Undumpable = "undumpable"
	Seccomp    = "seccomp"
	NoExec     = "noexec"
	Rlimits    = "rlimits"
	Cgroup     = "cgroup"
	DeathSig   = "pdeathsig"
)

// Layers returns the names of all layers, in the order in which they are reported.
func Layers() []string {
	return []string{Env, Files, UserNS, MountNS, PIDNS, NetNS, IPCNS, UTSNS, Root, Landlock, Caps, NoNewPrivs, Undumpable,
		Seccomp, NoExec, Rlimits, Cgroup, DeathSig}
}

// Optional reports whether a host that is strict starts without a layer: memory is limited without the group too.
func Optional(layer string) bool { return layer == Cgroup }

// Gap is a layer that does not hold.
type Gap struct {
	Layer string
	Why   string // in the words of who saw it
	Hint  string // how to mend it; "" as long as nobody has looked at the machine
}
