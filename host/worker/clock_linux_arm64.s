#include "textflag.h"

// The handler is entered by the kernel, on the signal stack of a thread: exit_group(wire.ClockExit).
TEXT exitByClock<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD $94, R8
	MOVD $94, R0
	SVC
	BRK

// func clockStrikes() uintptr
TEXT ·clockStrikes(SB), NOSPLIT, $0-8
	MOVD $exitByClock<>(SB), R0
	MOVD R0, ret+0(FP)
	RET
