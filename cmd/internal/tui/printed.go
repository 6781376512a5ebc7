package tui

import "strings"

// maxPrinted is how many lines of a program are kept.
const maxPrinted = 1000

// said is what the program that the console belongs to has printed: all that is kept of it.
type said struct{ lines []string }

func (said) message() {}

// closeRaw goes back to the view below.
func (m *Model) closeRaw() { m.raw, m.rawTop, m.rawTitle, m.printing = nil, 0, "", false }

// showPrinted shows what the program prints, the newest last.
func (m *Model) showPrinted() {
	if m.printed == nil {
		m.say("there is output only of a program that 'troupe dev' runs", warn)
		return
	}
	m.raw, m.rawTitle, m.printing = m.printed, "", true
	m.rawTop = max(0, len(m.raw)-m.bodyRows())
}

// programSaid takes what the program has printed. Whoever looks at the end of it goes on to do so.
func (m *Model) programSaid(lines []string) {
	atEnd := m.rawTop >= len(m.printed)-m.bodyRows()
	m.printed = make([]string, 0, len(lines)+1)
	for _, l := range lines[max(0, len(lines)-maxPrinted):] {
		m.printed = append(m.printed, safeLine(strings.ReplaceAll(l, "\t", "  ")))
	}
	if !m.printing {
		return
	}
	if m.raw = m.printed; atEnd {
		m.rawTop = max(0, len(m.raw)-m.bodyRows())
	}
}
