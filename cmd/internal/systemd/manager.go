package systemd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"github.com/troupehost/troupe/actors/fault"
)

// Manager is the service manager of this process. The zero value is none.
type Manager struct {
	send     func(state string) (bool, error) // nil: there is none
	watchdog time.Duration                    // within which it wants to hear of us; 0: it does not care
	log      zerolog.Logger

	mu     sync.Mutex
	status string // the last one told
	failed bool   // to tell something; said once
}

// Open finds the manager in the environment.
func Open(log zerolog.Logger) *Manager {
	m := &Manager{log: log, send: func(state string) (bool, error) { return daemon.SdNotify(false, state) }}
	if told, err := m.send("STATUS=starting"); !told && err == nil {
		m.send = nil
		return m
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("the watchdog of the service manager is not fed")
	}
	m.watchdog = interval
	return m
}

// Managed reports whether there is a manager that wants to be told.
func (m *Manager) Managed() bool { return m.send != nil }

// tell sends a state with a status, "" for the last one.
func (m *Manager) tell(state, status string) {
	if m.send == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if status = fault.Quote(status); status != "" && status != m.status {
		m.status = status
		if state != "" {
			state += "\n"
		}
		state += "STATUS=" + status
	}
	if state == "" {
		return
	}
	if _, err := m.send(state); err != nil && !m.failed {
		m.failed = true
		m.log.Warn().Err(err).Msg("the service manager cannot be told how the host is")
	}
}

// Ready says that the host is started, or has reloaded.
func (m *Manager) Ready(status string) { m.tell("READY=1", status) }

// Status says what the host is doing; nothing if that is what was said last.
func (m *Manager) Status(status string) { m.tell("", status) }

// Reloading says that the host reloads from now on, until Ready.
func (m *Manager) Reloading() {
	m.tell("RELOADING=1\n"+daemon.SdNotifyMonotonicUsec()+"STATUS=reloading", "")
	m.mu.Lock()
	defer m.mu.Unlock()
	m.status = "reloading"
}

// extension is how much more time is asked for at once, and every is how often.
const (
	extension = 10 * time.Second
	every     = 3 * time.Second
)

// Stopping says that the host stops, and asks for more time until ctx ends, or limit is over. The status is asked for again and
// again.
func (m *Manager) Stopping(ctx context.Context, limit time.Duration, status func() string) {
	m.tell("STOPPING=1", status())
	if m.send == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		m.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extension.Microseconds()), status())
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// Watch feeds the watchdog until ctx ends: each time alive has answered within half of the interval.
func (m *Manager) Watch(ctx context.Context, alive func(context.Context) error) {
	if m.send == nil || m.watchdog <= 0 {
		return
	}
	next := time.NewTimer(0)
	defer next.Stop()
	silent := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-next.C:
		}
		asked := time.Now()
		asking, cancel := context.WithTimeout(ctx, m.watchdog/2)
		err := alive(asking)
		late := asking.Err() != nil // an answer that came too late is none
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && !late:
			m.tell("WATCHDOG=1", "")
			silent = false
		case !silent:
			silent = true
			m.log.Error().Err(err).Dur("within", m.watchdog/2).Msg("the host has not answered: the watchdog is not fed")
		}
		next.Reset(max(m.watchdog/4-time.Since(asked), 0))
	}
}
