#include "textflag.h"

// Elementwise kernels for AVX2 and FMA3. Lengths are positive multiples of 16,
// of expSum of 32.

// The table of constants, at R8.
#define EXPMIN (R8)
#define EXPMAX 32(R8)
#define LOG2E 64(R8)
#define LN2HIGH 96(R8)
#define LN2LOW 128(R8)
#define EXPMAGIC 160(R8)
#define EXP5 192(R8)
#define EXP4 224(R8)
#define EXP3 256(R8)
#define EXP2 288(R8)
#define EXP1 320(R8)
#define EXP0 352(R8)
#define ONE 384(R8)
#define BIAS 416(R8)
#define SIGN 448(R8)

// EXP replaces x by its exponential, step by step as func Exp does; t, n and p
// are temporaries. The second source of a minimum or maximum is the result where
// either is NaN.
#define EXP(x, t, n, p) \
	VMOVUPS     EXPMAX, t;     \
	VMINPS      x, t, x;       \
	VMOVUPS     EXPMIN, t;     \
	VMAXPS      x, t, x;       \
	VMOVUPS     EXPMAGIC, t;   \
	VFMADD231PS LOG2E, x, t;   \
	VSUBPS      EXPMAGIC, t, n; \
	VFMADD231PS LN2HIGH, n, x; \
	VFMADD231PS LN2LOW, n, x;  \
	VMOVUPS     EXP5, p;       \
	VFMADD213PS EXP4, x, p;    \
	VFMADD213PS EXP3, x, p;    \
	VFMADD213PS EXP2, x, p;    \
	VFMADD213PS EXP1, x, p;    \
	VFMADD213PS EXP0, x, p;    \
	VFMADD213PS ONE, x, p;     \
	VFMADD213PS ONE, x, p;     \
	VPSUBD      EXPMAGIC, t, t; \
	VPSRAD      $1, t, n;      \
	VPSUBD      n, t, t;       \
	VPADDD      BIAS, n, n;    \
	VPSLLD      $23, n, n;     \
	VMULPS      n, p, p;       \
	VPADDD      BIAS, t, t;    \
	VPSLLD      $23, t, t;     \
	VMULPS      t, p, x

// func siluMulAVX2(out, gate, up *float32, n int)
TEXT ·siluMulAVX2(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ gate+8(FP), SI
	MOVQ up+16(FP), DX
	MOVQ n+24(FP), CX
	LEAQ ·constants(SB), R8

loop:
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y9
	VXORPS  SIGN, Y4, Y0
	VXORPS  SIGN, Y9, Y5
	EXP(Y0, Y1, Y2, Y3)
	EXP(Y5, Y6, Y7, Y8)
	VADDPS  ONE, Y0, Y0
	VADDPS  ONE, Y5, Y5
	VDIVPS  Y0, Y4, Y4
	VDIVPS  Y5, Y9, Y9
	VMULPS  (DX), Y4, Y4
	VMULPS  32(DX), Y9, Y9
	VMOVUPS Y4, (DI)
	VMOVUPS Y9, 32(DI)
	ADDQ    $64, SI
	ADDQ    $64, DX
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func expSumAVX2(x *float32, n int, largest float32, acc *[32]float32)
TEXT ·expSumAVX2(SB), NOSPLIT, $0-32
	MOVQ         x+0(FP), DI
	MOVQ         n+8(FP), CX
	VBROADCASTSS largest+16(FP), Y8
	MOVQ         acc+24(FP), DX
	LEAQ         ·constants(SB), R8
	VMOVUPS      (DX), Y9
	VMOVUPS      32(DX), Y10
	VMOVUPS      64(DX), Y11
	VMOVUPS      96(DX), Y12

loop:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y4
	VSUBPS  Y8, Y0, Y0
	VSUBPS  Y8, Y4, Y4
	EXP(Y0, Y1, Y2, Y3)
	EXP(Y4, Y5, Y6, Y7)
	VADDPS  Y0, Y9, Y9
	VADDPS  Y4, Y10, Y10
	VMOVUPS Y0, (DI)
	VMOVUPS Y4, 32(DI)
	VMOVUPS 64(DI), Y0
	VMOVUPS 96(DI), Y4
	VSUBPS  Y8, Y0, Y0
	VSUBPS  Y8, Y4, Y4
	EXP(Y0, Y1, Y2, Y3)
	EXP(Y4, Y5, Y6, Y7)
	VADDPS  Y0, Y11, Y11
	VADDPS  Y4, Y12, Y12
	VMOVUPS Y0, 64(DI)
	VMOVUPS Y4, 96(DI)
	ADDQ    $128, DI
	SUBQ    $32, CX
	JNZ     loop
	VMOVUPS Y9, (DX)
	VMOVUPS Y10, 32(DX)
	VMOVUPS Y11, 64(DX)
	VMOVUPS Y12, 96(DX)
	VZEROUPPER
	RET

// func maximumAVX2(x *float32, n int) float32
TEXT ·maximumAVX2(SB), NOSPLIT, $0-20
	MOVQ         x+0(FP), SI
	MOVQ         n+8(FP), CX
	MOVL         $0xff800000, AX
	VMOVD        AX, X0
	VBROADCASTSS X0, Y0
	VMOVAPS      Y0, Y1

loop:
	VMOVUPS (SI), Y2
	VMOVUPS 32(SI), Y3
	VMAXPS  Y0, Y2, Y0
	VMAXPS  Y1, Y3, Y1
	ADDQ    $64, SI
	SUBQ    $16, CX
	JNZ     loop

	VMAXPS       Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS       X1, X0, X0
	VUNPCKHPD    X0, X0, X1
	VMAXPS       X1, X0, X0
	VMOVSHDUP    X0, X1
	VMAXSS       X1, X0, X0
	VMOVSS       X0, ret+16(FP)
	VZEROUPPER
	RET

// func scaleAVX2(out, x, weight *float32, n int, by float32)
TEXT ·scaleAVX2(SB), NOSPLIT, $0-36
	MOVQ         out+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         weight+16(FP), DX
	MOVQ         n+24(FP), CX
	VBROADCASTSS by+32(FP), Y1

loop:
	VMULPS  (SI), Y1, Y0
	VMULPS  32(SI), Y1, Y2
	VMULPS  (DX), Y0, Y0
	VMULPS  32(DX), Y2, Y2
	VMOVUPS Y0, (DI)
	VMOVUPS Y2, 32(DI)
	ADDQ    $64, SI
	ADDQ    $64, DX
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func addAVX2(dst, src *float32, n int)
TEXT ·addAVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VADDPS  (SI), Y0, Y0
	VADDPS  32(SI), Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	ADDQ    $64, SI
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func ropeAVX2(a, b, cos, sin *float32, n int)
TEXT ·ropeAVX2(SB), NOSPLIT, $0-40
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ cos+16(FP), R8
	MOVQ sin+24(FP), R9
	MOVQ n+32(FP), CX

loop:
	VMOVUPS (DI), Y0
	VMOVUPS (SI), Y1
	VMOVUPS (R8), Y2
	VMOVUPS (R9), Y3
	VMULPS  Y2, Y0, Y4
	VMULPS  Y3, Y1, Y5
	VSUBPS  Y5, Y4, Y4
	VMULPS  Y2, Y1, Y6
	VMULPS  Y3, Y0, Y7
	VADDPS  Y7, Y6, Y6
	VMOVUPS Y4, (DI)
	VMOVUPS Y6, (SI)
	ADDQ    $32, DI
	ADDQ    $32, SI
	ADDQ    $32, R8
	ADDQ    $32, R9
	SUBQ    $8, CX
	JNZ     loop
	VZEROUPPER
	RET

// func weighAVX2(out, p, v *float32, tokens, dim int)
//
// All tokens for 64 elements of out, then 8, then one: their sums stay in
// registers.
TEXT ·weighAVX2(SB), NOSPLIT, $0-40
	MOVQ out+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ v+16(FP), DX
	MOVQ tokens+24(FP), R8
	MOVQ dim+32(FP), CX
	MOVQ CX, R9
	SHLQ $2, R9            // bytes of a token

by64:
	CMPQ    CX, $64
	JLT     by8
	VMOVUPS (DI), Y0
	VMOVUPS 32(DI), Y1
	VMOVUPS 64(DI), Y2
	VMOVUPS 96(DI), Y3
	VMOVUPS 128(DI), Y4
	VMOVUPS 160(DI), Y5
	VMOVUPS 192(DI), Y6
	VMOVUPS 224(DI), Y7
	MOVQ    SI, AX
	MOVQ    DX, BX
	MOVQ    R8, R10

loop64:
	VBROADCASTSS (AX), Y8
	VFMADD231PS  (BX), Y8, Y0
	VFMADD231PS  32(BX), Y8, Y1
	VFMADD231PS  64(BX), Y8, Y2
	VFMADD231PS  96(BX), Y8, Y3
	VFMADD231PS  128(BX), Y8, Y4
	VFMADD231PS  160(BX), Y8, Y5
	VFMADD231PS  192(BX), Y8, Y6
	VFMADD231PS  224(BX), Y8, Y7
	ADDQ         $4, AX
	ADDQ         R9, BX
	DECQ         R10
	JNZ          loop64
	VMOVUPS      Y0, (DI)
	VMOVUPS      Y1, 32(DI)
	VMOVUPS      Y2, 64(DI)
	VMOVUPS      Y3, 96(DI)
	VMOVUPS      Y4, 128(DI)
	VMOVUPS      Y5, 160(DI)
	VMOVUPS      Y6, 192(DI)
	VMOVUPS      Y7, 224(DI)
	ADDQ         $256, DI
	ADDQ         $256, DX
	SUBQ         $64, CX
	JMP          by64

by8:
	CMPQ    CX, $8
	JLT     by1
	VMOVUPS (DI), Y0
	MOVQ    SI, AX
	MOVQ    DX, BX
	MOVQ    R8, R10

loop8:
	VBROADCASTSS (AX), Y8
	VFMADD231PS  (BX), Y8, Y0
	ADDQ         $4, AX
	ADDQ         R9, BX
	DECQ         R10
	JNZ          loop8
	VMOVUPS      Y0, (DI)
	ADDQ         $32, DI
	ADDQ         $32, DX
	SUBQ         $8, CX
	JMP          by8

by1:
	TESTQ  CX, CX
	JZ     done
	VMOVSS (DI), X0
	MOVQ   SI, AX
	MOVQ   DX, BX
	MOVQ   R8, R10

loop1:
	VMOVSS      (AX), X8
	VFMADD231SS (BX), X8, X0
	ADDQ        $4, AX
	ADDQ        R9, BX
	DECQ        R10
	JNZ         loop1
	VMOVSS      X0, (DI)
	ADDQ        $4, DI
	ADDQ        $4, DX
	DECQ        CX
	JMP         by1

done:
	VZEROUPPER
	RET
