#include "textflag.h"
#include "go_asm.h"

// Tiles for AVX-512 and weights in float32.

#define LOADW(m, z) VMOVUPS m, z
#define WHALF 64
#define WSTEP 128
#define AHEAD4ROWS AHEAD8LINES

#include "tile_avx512_amd64.h"

// func tile3F32AVX512(t *tile)
TEXT ·tile3F32AVX512(SB), NOSPLIT, $0-8
	TILE3

// func tile2F32AVX512(t *tile)
TEXT ·tile2F32AVX512(SB), NOSPLIT, $0-8
	TILE2

// func elementF32AVX512(t *tile)
TEXT ·elementF32AVX512(SB), NOSPLIT, $0-8
	ELEMENT

// ROW1 is a row of the next function: 32 of its weights at m and at half.
#define ROW1(m, half, a, b) \
	VMOVUPS m, Z26; \
	VMOVUPS half, Z27; \
	VFMADD231PS Z24, Z26, a; \
	VFMADD231PS Z25, Z27, b

// func tile1F32AVX512(t *tile)
TEXT ·tile1F32AVX512(SB), NOSPLIT, $0-8
	ARGUMENTS
	LEAQ  (DI)(R8*4), R13
	CLEAR4(Z0, Z1, Z2, Z3)
	CLEAR4(Z4, Z5, Z6, Z7)
	CLEAR4(Z8, Z9, Z10, Z11)
	CLEAR4(Z12, Z13, Z14, Z15)
	TESTQ CX, CX
	JZ    rest

loop:
	AHEAD16LINES
	VMOVUPS (SI), Z24
	VMOVUPS 64(SI), Z25
	ROW1((DI), 64(DI), Z0, Z8)
	ROW1((DI)(R8*1), 64(DI)(R8*1), Z1, Z9)
	ROW1((DI)(R8*2), 64(DI)(R8*2), Z2, Z10)
	ROW1((DI)(R9*1), 64(DI)(R9*1), Z3, Z11)
	ROW1((R13), 64(R13), Z4, Z12)
	ROW1((R13)(R8*1), 64(R13)(R8*1), Z5, Z13)
	ROW1((R13)(R8*2), 64(R13)(R8*2), Z6, Z14)
	ROW1((R13)(R9*1), 64(R13)(R9*1), Z7, Z15)
	ADDQ $128, SI
	ADDQ $WSTEP, DI
	ADDQ $WSTEP, R13
	DECQ CX
	JNZ  loop

rest:
	TESTQ BX, BX
	JZ    fold
	TAIL
	LEAQ  (DI)(R8*4), R13
	JMP   loop

fold:
	VADDPS Z8, Z0, Z0
	VADDPS Z9, Z1, Z1
	VADDPS Z10, Z2, Z2
	VADDPS Z11, Z3, Z3
	VADDPS Z12, Z4, Z4
	VADDPS Z13, Z5, Z5
	VADDPS Z14, Z6, Z6
	VADDPS Z15, Z7, Z7
	HALVE(Z0, Y0, X0)
	HALVE(Z1, Y1, X1)
	HALVE(Z2, Y2, X2)
	HALVE(Z3, Y3, X3)
	HALVE(Z4, Y4, X4)
	HALVE(Z5, Y5, X5)
	HALVE(Z6, Y6, X6)
	HALVE(Z7, Y7, X7)
	FINISH(X0, X1, X2, X3, (DX))
	FINISH(X4, X5, X6, X7, 16(DX))
	VZEROUPPER
	RET
