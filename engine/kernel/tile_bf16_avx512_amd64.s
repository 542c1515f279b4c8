#include "textflag.h"
#include "go_asm.h"

// Tiles for AVX-512 and weights in bfloat16, which are the high halves of float32.

#define LOADW(m, z) \
	VPMOVZXWD m, z; \
	VPSLLD    $16, z, z
#define WHALF 32
#define WSTEP 64
#define AHEAD4ROWS AHEAD4LINES

#include "tile_avx512_amd64.h"

// func tile3BF16AVX512(t *tile)
TEXT ·tile3BF16AVX512(SB), NOSPLIT, $0-8
	TILE3

// func tile2BF16AVX512(t *tile)
TEXT ·tile2BF16AVX512(SB), NOSPLIT, $0-8
	TILE2

// func elementBF16AVX512(t *tile)
TEXT ·elementBF16AVX512(SB), NOSPLIT, $0-8
	ELEMENT

// A single token's tile has few multiplications for each weight, so widening the
// weights has to be cheap. It takes 32 of them as a vector of pairs: the even ones
// are what is left of a shift, the odd ones of a mask. An element's two sums then
// have its even and its odd lanes, the token is parted alike, and folding halves
// both before it adds one to the other: the same sums.

// Places of the even and of the odd of 32 floats.
DATA places<>+0(SB)/8, $0x0000000200000000
DATA places<>+8(SB)/8, $0x0000000600000004
DATA places<>+16(SB)/8, $0x0000000a00000008
DATA places<>+24(SB)/8, $0x0000000e0000000c
DATA places<>+32(SB)/8, $0x0000001200000010
DATA places<>+40(SB)/8, $0x0000001600000014
DATA places<>+48(SB)/8, $0x0000001a00000018
DATA places<>+56(SB)/8, $0x0000001e0000001c
DATA places<>+64(SB)/8, $0x0000000300000001
DATA places<>+72(SB)/8, $0x0000000700000005
DATA places<>+80(SB)/8, $0x0000000b00000009
DATA places<>+88(SB)/8, $0x0000000f0000000d
DATA places<>+96(SB)/8, $0x0000001300000011
DATA places<>+104(SB)/8, $0x0000001700000015
DATA places<>+112(SB)/8, $0x0000001b00000019
DATA places<>+120(SB)/8, $0x0000001f0000001d
GLOBL places<>(SB), RODATA|NOPTR, $128

// PLACES loads what parts tokens, and the mask.
#define PLACES \
	VMOVUPS      places<>+0(SB), Z29;  \
	VMOVUPS      places<>+64(SB), Z30; \
	MOVL         $0xffff0000, R13;     \
	VPBROADCASTD R13, Z28

// PART is the elements of a token at the given places; temporary Z27.
#define PART(low, high, places, z) \
	VMOVUPS   low, Z27;     \
	VMOVAPS   places, z;    \
	VPERMI2PS high, Z27, z

#define EVEN(m, z) VPSLLD $16, m, z
#define ODD(m, z) VPANDD m, Z28, z

// PAIR folds the eight even and eight odd lanes of an element, in e and o, down
// to two of either; temporaries X24 and X25.
#define PAIR(ze, ye, e, zo, yo, o) \
	HALVE(ze, ye, e); \
	HALVE(zo, yo, o); \
	VUNPCKLPD o, e, X24; \
	VUNPCKHPD o, e, X25; \
	VADDPS    X25, X24, e

// FINISH4 folds what PAIR left of four elements and stores the elements.
#define FINISH4(a, b, c, d, at) \
	VSHUFPS   $0x88, b, a, X24; \
	VSHUFPS   $0xdd, b, a, X25; \
	VADDPS    X25, X24, X24;    \
	VSHUFPS   $0x88, d, c, X26; \
	VSHUFPS   $0xdd, d, c, X27; \
	VADDPS    X27, X26, X26;    \
	VSHUFPS   $0x88, X26, X24, X25; \
	VSHUFPS   $0xdd, X26, X24, X27; \
	VADDPS    X27, X25, X25;    \
	VMOVUPS   X25, at

// func tile1BF16AVX512(t *tile)
TEXT ·tile1BF16AVX512(SB), NOSPLIT, $0-8
	ARGUMENTS
	PLACES
	LEAQ  (DI)(R8*4), R13
	CLEAR4(Z0, Z1, Z2, Z3)
	CLEAR4(Z4, Z5, Z6, Z7)
	CLEAR4(Z8, Z9, Z10, Z11)
	CLEAR4(Z12, Z13, Z14, Z15)
	TESTQ CX, CX
	JZ    rest

loop:
	AHEAD8LINES
	PART((SI), 64(SI), Z29, Z24)
	EVEN((DI), Z27)
	VFMADD231PS Z24, Z27, Z0
	EVEN((DI)(R8*1), Z27)
	VFMADD231PS Z24, Z27, Z1
	EVEN((DI)(R8*2), Z27)
	VFMADD231PS Z24, Z27, Z2
	EVEN((DI)(R9*1), Z27)
	VFMADD231PS Z24, Z27, Z3
	EVEN((R13), Z27)
	VFMADD231PS Z24, Z27, Z4
	EVEN((R13)(R8*1), Z27)
	VFMADD231PS Z24, Z27, Z5
	EVEN((R13)(R8*2), Z27)
	VFMADD231PS Z24, Z27, Z6
	EVEN((R13)(R9*1), Z27)
	VFMADD231PS Z24, Z27, Z7
	PART((SI), 64(SI), Z30, Z24)
	ODD((DI), Z27)
	VFMADD231PS Z24, Z27, Z8
	ODD((DI)(R8*1), Z27)
	VFMADD231PS Z24, Z27, Z9
	ODD((DI)(R8*2), Z27)
	VFMADD231PS Z24, Z27, Z10
	ODD((DI)(R9*1), Z27)
	VFMADD231PS Z24, Z27, Z11
	ODD((R13), Z27)
	VFMADD231PS Z24, Z27, Z12
	ODD((R13)(R8*1), Z27)
	VFMADD231PS Z24, Z27, Z13
	ODD((R13)(R8*2), Z27)
	VFMADD231PS Z24, Z27, Z14
	ODD((R13)(R9*1), Z27)
	VFMADD231PS Z24, Z27, Z15
	ADDQ  $128, SI
	ADDQ  $WSTEP, DI
	ADDQ  $WSTEP, R13
	DECQ  CX
	JNZ   loop

rest:
	TESTQ BX, BX
	JZ    fold
	TAIL
	LEAQ  (DI)(R8*4), R13
	JMP   loop

fold:
	PAIR(Z0, Y0, X0, Z8, Y8, X8)
	PAIR(Z1, Y1, X1, Z9, Y9, X9)
	PAIR(Z2, Y2, X2, Z10, Y10, X10)
	PAIR(Z3, Y3, X3, Z11, Y11, X11)
	PAIR(Z4, Y4, X4, Z12, Y12, X12)
	PAIR(Z5, Y5, X5, Z13, Y13, X13)
	PAIR(Z6, Y6, X6, Z14, Y14, X14)
	PAIR(Z7, Y7, X7, Z15, Y15, X15)
	FINISH4(X0, X1, X2, X3, (DX))
	FINISH4(X4, X5, X6, X7, 16(DX))
	VZEROUPPER
	RET
