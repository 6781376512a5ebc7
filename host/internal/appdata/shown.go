package appdata

// LevelName returns the name of a level.
func LevelName(level int) string { return levels[min(max(level, LevelError), LevelTrace)] }

// Newest returns the number of the newest line, 0 if there is none. It may not be written yet.
func (a *AppLog) Newest() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.next - 1
}
