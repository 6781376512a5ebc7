#include "textflag.h"

// The handler is entered by the kernel, on the signal stack of a thread: exit_group(wire.ClockExit).
TEXT exitByClock<>(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVL $231, AX
	MOVL $94, DI
	SYSCALL
	INT $3

// func clockStrikes() uintptr
TEXT ·clockStrikes(SB), NOSPLIT, $0-8
	MOVQ $exitByClock<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
