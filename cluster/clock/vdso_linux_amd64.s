#include "textflag.h"
#include "funcdata.h"

// func callVDSO(address uintptr, id int32, ts *unix.Timespec) int32
//
// The frame is the stack of what is called, which needs some 200 bytes: Go makes sure that it is there. It is C, which
// keeps BX, BP and R12 to R15 and changes nothing that Go relies on beside; Go takes signals on a stack of their own.
TEXT ·callVDSO(SB), 0, $1024-28
	NO_LOCAL_POINTERS
	MOVQ address+0(FP), AX
	MOVL id+8(FP), DI
	MOVQ ts+16(FP), SI
	MOVQ SP, BX
	ADDQ $1008, SP
	ANDQ $~15, SP
	CALL AX
	MOVQ BX, SP
	MOVL AX, ret+24(FP)
	RET
