#include "textflag.h"

// Elementwise kernels for AVX-512. Lengths are positive multiples of 16, of
// expSum of 32.

// EXPCONSTANTS loads the table of constants in its order: Z16 least and Z17
// largest argument, Z18 log2 e, Z19 and Z20 the parts of -ln 2, Z21 magic, Z22 to
// Z27 the polynomial, Z28 one, Z29 the bias of exponents, Z30 the sign bit.
#define EXPCONSTANTS \
	LEAQ         ·constants(SB), R8; \
	VBROADCASTSS (R8), Z16; \
	VBROADCASTSS 32(R8), Z17; \
	VBROADCASTSS 64(R8), Z18; \
	VBROADCASTSS 96(R8), Z19; \
	VBROADCASTSS 128(R8), Z20; \
	VBROADCASTSS 160(R8), Z21; \
	VBROADCASTSS 192(R8), Z22; \
	VBROADCASTSS 224(R8), Z23; \
	VBROADCASTSS 256(R8), Z24; \
	VBROADCASTSS 288(R8), Z25; \
	VBROADCASTSS 320(R8), Z26; \
	VBROADCASTSS 352(R8), Z27; \
	VBROADCASTSS 384(R8), Z28; \
	VBROADCASTSS 416(R8), Z29; \
	VBROADCASTSS 448(R8), Z30

// EXP replaces x by its exponential, step by step as func Exp does; t, n and p
// are temporaries. The second source of a minimum or maximum is the result where
// either is NaN.
#define EXP(x, t, n, p) \
	VMINPS      x, Z17, x;   \
	VMAXPS      x, Z16, x;   \
	VMOVAPS     Z21, t;      \
	VFMADD231PS Z18, x, t;   \
	VSUBPS      Z21, t, n;   \
	VFMADD231PS Z19, n, x;   \
	VFMADD231PS Z20, n, x;   \
	VMOVAPS     Z22, p;      \
	VFMADD213PS Z23, x, p;   \
	VFMADD213PS Z24, x, p;   \
	VFMADD213PS Z25, x, p;   \
	VFMADD213PS Z26, x, p;   \
	VFMADD213PS Z27, x, p;   \
	VFMADD213PS Z28, x, p;   \
	VFMADD213PS Z28, x, p;   \
	VPSUBD      Z21, t, t;   \
	VPSRAD      $1, t, n;    \
	VPSUBD      n, t, t;     \
	VPADDD      Z29, n, n;   \
	VPSLLD      $23, n, n;   \
	VMULPS      n, p, p;     \
	VPADDD      Z29, t, t;   \
	VPSLLD      $23, t, t;   \
	VMULPS      t, p, x

// func siluMulAVX512(out, gate, up *float32, n int)
TEXT ·siluMulAVX512(SB), NOSPLIT, $0-32
	MOVQ out+0(FP), DI
	MOVQ gate+8(FP), SI
	MOVQ up+16(FP), DX
	MOVQ n+24(FP), CX
	EXPCONSTANTS

loop:
	VMOVUPS (SI), Z4
	VPXORD  Z30, Z4, Z0
	EXP(Z0, Z1, Z2, Z3)
	VADDPS  Z28, Z0, Z0
	VDIVPS  Z0, Z4, Z4
	VMULPS  (DX), Z4, Z4
	VMOVUPS Z4, (DI)
	ADDQ    $64, SI
	ADDQ    $64, DX
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func expSumAVX512(x *float32, n int, largest float32, acc *[32]float32)
TEXT ·expSumAVX512(SB), NOSPLIT, $0-32
	MOVQ         x+0(FP), DI
	MOVQ         n+8(FP), CX
	VBROADCASTSS largest+16(FP), Z8
	MOVQ         acc+24(FP), DX
	EXPCONSTANTS
	VMOVUPS      (DX), Z9
	VMOVUPS      64(DX), Z10

loop:
	VMOVUPS (DI), Z0
	VMOVUPS 64(DI), Z4
	VSUBPS  Z8, Z0, Z0
	VSUBPS  Z8, Z4, Z4
	EXP(Z0, Z1, Z2, Z3)
	EXP(Z4, Z5, Z6, Z7)
	VADDPS  Z0, Z9, Z9
	VADDPS  Z4, Z10, Z10
	VMOVUPS Z0, (DI)
	VMOVUPS Z4, 64(DI)
	ADDQ    $128, DI
	SUBQ    $32, CX
	JNZ     loop
	VMOVUPS Z9, (DX)
	VMOVUPS Z10, 64(DX)
	VZEROUPPER
	RET

// func maximumAVX512(x *float32, n int) float32
TEXT ·maximumAVX512(SB), NOSPLIT, $0-20
	MOVQ         x+0(FP), SI
	MOVQ         n+8(FP), CX
	MOVL         $0xff800000, AX
	VMOVD        AX, X0
	VBROADCASTSS X0, Z0
	VMOVAPS      Z0, Z1
	BTQ          $4, CX
	JCC          pairs
	VMOVUPS      (SI), Z2
	VMAXPS       Z0, Z2, Z0
	ADDQ         $64, SI
	SUBQ         $16, CX
	JZ           done

pairs:
	VMOVUPS (SI), Z2
	VMOVUPS 64(SI), Z3
	VMAXPS  Z0, Z2, Z0
	VMAXPS  Z1, Z3, Z1
	ADDQ    $128, SI
	SUBQ    $32, CX
	JNZ     pairs

done:
	VMAXPS        Z1, Z0, Z0
	VEXTRACTF64X4 $1, Z0, Y1
	VMAXPS        Y1, Y0, Y0
	VEXTRACTF128  $1, Y0, X1
	VMAXPS        X1, X0, X0
	VUNPCKHPD     X0, X0, X1
	VMAXPS        X1, X0, X0
	VMOVSHDUP     X0, X1
	VMAXSS        X1, X0, X0
	VMOVSS        X0, ret+16(FP)
	VZEROUPPER
	RET

// func scaleAVX512(out, x, weight *float32, n int, by float32)
TEXT ·scaleAVX512(SB), NOSPLIT, $0-36
	MOVQ         out+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         weight+16(FP), DX
	MOVQ         n+24(FP), CX
	VBROADCASTSS by+32(FP), Z1

loop:
	VMULPS  (SI), Z1, Z0
	VMULPS  (DX), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, SI
	ADDQ    $64, DX
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func addAVX512(dst, src *float32, n int)
TEXT ·addAVX512(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VMOVUPS (DI), Z0
	VADDPS  (SI), Z0, Z0
	VMOVUPS Z0, (DI)
	ADDQ    $64, SI
	ADDQ    $64, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func ropeAVX512(a, b, cos, sin *float32, n int)
TEXT ·ropeAVX512(SB), NOSPLIT, $0-40
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ cos+16(FP), R8
	MOVQ sin+24(FP), R9
	MOVQ n+32(FP), CX

loop:
	VMOVUPS (DI), Z0
	VMOVUPS (SI), Z1
	VMOVUPS (R8), Z2
	VMOVUPS (R9), Z3
	VMULPS  Z2, Z0, Z4
	VMULPS  Z3, Z1, Z5
	VSUBPS  Z5, Z4, Z4
	VMULPS  Z2, Z1, Z6
	VMULPS  Z3, Z0, Z7
	VADDPS  Z7, Z6, Z6
	VMOVUPS Z4, (DI)
	VMOVUPS Z6, (SI)
	ADDQ    $64, DI
	ADDQ    $64, SI
	ADDQ    $64, R8
	ADDQ    $64, R9
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func weighAVX512(out, p, v *float32, tokens, dim int)
//
// All tokens for 64 elements of out, then 16, then one: their sums stay in
// registers.
TEXT ·weighAVX512(SB), NOSPLIT, $0-40
	MOVQ out+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ v+16(FP), DX
	MOVQ tokens+24(FP), R8
	MOVQ dim+32(FP), CX
	MOVQ CX, R9
	SHLQ $2, R9            // bytes of a token

by64:
	CMPQ    CX, $64
	JLT     by16
	VMOVUPS (DI), Z0
	VMOVUPS 64(DI), Z1
	VMOVUPS 128(DI), Z2
	VMOVUPS 192(DI), Z3
	MOVQ    SI, AX
	MOVQ    DX, BX
	MOVQ    R8, R10

loop64:
	VBROADCASTSS (AX), Z4
	VFMADD231PS  (BX), Z4, Z0
	VFMADD231PS  64(BX), Z4, Z1
	VFMADD231PS  128(BX), Z4, Z2
	VFMADD231PS  192(BX), Z4, Z3
	ADDQ         $4, AX
	ADDQ         R9, BX
	DECQ         R10
	JNZ          loop64
	VMOVUPS      Z0, (DI)
	VMOVUPS      Z1, 64(DI)
	VMOVUPS      Z2, 128(DI)
	VMOVUPS      Z3, 192(DI)
	ADDQ         $256, DI
	ADDQ         $256, DX
	SUBQ         $64, CX
	JMP          by64

by16:
	CMPQ    CX, $16
	JLT     by1
	VMOVUPS (DI), Z0
	MOVQ    SI, AX
	MOVQ    DX, BX
	MOVQ    R8, R10

loop16:
	VBROADCASTSS (AX), Z4
	VFMADD231PS  (BX), Z4, Z0
	ADDQ         $4, AX
	ADDQ         R9, BX
	DECQ         R10
	JNZ          loop16
	VMOVUPS      Z0, (DI)
	ADDQ         $64, DI
	ADDQ         $64, DX
	SUBQ         $16, CX
	JMP          by16

by1:
	TESTQ  CX, CX
	JZ     done
	VMOVSS (DI), X0
	MOVQ   SI, AX
	MOVQ   DX, BX
	MOVQ   R8, R10

loop1:
	VMOVSS      (AX), X4
	VFMADD231SS (BX), X4, X0
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
