// What the tiles for AVX-512 share, those of 4 rows by 3 or 2 tokens, of 8 rows by
// one token and of one element. The file that includes this defines what the
// weights are:
//
//	LOADW(m, z)  loads 16 weights as float32
//	WHALF        bytes of 16 weights
//	WSTEP        bytes of 32 weights
//	AHEAD4ROWS   prefetches as many bytes as a step reads of 4 rows
//
// A lane's sum never leaves its register: an element has two of 16 lanes. AX is
// the tile; rows are at DI, DI+R8, DI+2*R8, DI+R9, four more at the same places
// from R13, and tokens at SI, SI+R10, SI+2*R10. The next rows are prefetched into
// the second-level cache at R12: in the order of the memory, which it is fastest
// in, while this tile takes its rows side by side, so that it loads the tokens
// once for all of them.

#define AHEAD4LINES \
	PREFETCHT1 (R12);    \
	PREFETCHT1 64(R12);  \
	PREFETCHT1 128(R12); \
	PREFETCHT1 192(R12); \
	ADDQ       $256, R12

#define AHEAD8LINES \
	AHEAD4LINES; \
	AHEAD4LINES

#define AHEAD16LINES \
	AHEAD8LINES; \
	AHEAD8LINES

#define ARGUMENTS \
	MOVQ t+0(FP), AX;           \
	MOVQ tile_w(AX), DI;        \
	MOVQ tile_wStride(AX), R8;  \
	LEAQ (R8)(R8*2), R9;        \
	MOVQ tile_x(AX), SI;        \
	MOVQ tile_xStride(AX), R10; \
	MOVQ tile_steps(AX), CX;    \
	MOVQ tile_xTail(AX), BX;    \
	MOVQ tile_out(AX), DX;      \
	MOVQ tile_outStride(AX), R11; \
	MOVQ tile_ahead(AX), R12

// TAIL makes the padded rest the next and last step.
#define TAIL \
	MOVQ BX, SI;            \
	MOVQ tile_wTail(AX), DI; \
	MOVQ $WSTEP, R8;        \
	LEAQ (R8)(R8*2), R9;    \
	MOVQ $128, R10;         \
	XORL BX, BX;            \
	MOVQ $1, CX

#define CLEAR4(a, b, c, d) \
	VPXORD a, a, a; \
	VPXORD b, b, b; \
	VPXORD c, c, c; \
	VPXORD d, d, d

// HALVE is the sum of 16 lanes in halves, down to four; temporary Y27.
#define HALVE(z, y, x) \
	VEXTRACTF64X4 $1, z, Y27; \
	VADDPS        Y27, y, y;  \
	VEXTRACTF32X4 $1, y, X27; \
	VADDPS        X27, x, x

// FINISH folds the four lanes of four elements and stores the elements.
#define FINISH(a, b, c, d, at) \
	VUNPCKLPD b, a, X24;          \
	VUNPCKHPD b, a, X25;          \
	VADDPS    X25, X24, X24;      \
	VUNPCKLPD d, c, X26;          \
	VUNPCKHPD d, c, X27;          \
	VADDPS    X27, X26, X26;      \
	VSHUFPS   $0x88, X26, X24, X25; \
	VSHUFPS   $0xdd, X26, X24, X27; \
	VADDPS    X27, X25, X25;      \
	VMOVUPS   X25, at

#define ROW3(a, b, c) \
	VFMADD231PS Z24, Z27, a; \
	VFMADD231PS Z25, Z27, b; \
	VFMADD231PS Z26, Z27, c

#define ROW2(a, b) \
	VFMADD231PS Z24, Z27, a; \
	VFMADD231PS Z25, Z27, b

#define TILE3 \
	ARGUMENTS; \
	CLEAR4(Z0, Z1, Z2, Z3); \
	CLEAR4(Z4, Z5, Z6, Z7); \
	CLEAR4(Z8, Z9, Z10, Z11); \
	CLEAR4(Z12, Z13, Z14, Z15); \
	CLEAR4(Z16, Z17, Z18, Z19); \
	CLEAR4(Z20, Z21, Z22, Z23); \
	TESTQ CX, CX; \
	JZ    rest; \
loop: \
	AHEAD4LINES; \
	VMOVUPS (SI), Z24; \
	VMOVUPS (SI)(R10*1), Z25; \
	VMOVUPS (SI)(R10*2), Z26; \
	LOADW((DI), Z27); \
	ROW3(Z0, Z1, Z2); \
	LOADW((DI)(R8*1), Z27); \
	ROW3(Z3, Z4, Z5); \
	LOADW((DI)(R8*2), Z27); \
	ROW3(Z6, Z7, Z8); \
	LOADW((DI)(R9*1), Z27); \
	ROW3(Z9, Z10, Z11); \
	VMOVUPS 64(SI), Z24; \
	VMOVUPS 64(SI)(R10*1), Z25; \
	VMOVUPS 64(SI)(R10*2), Z26; \
	LOADW(WHALF(DI), Z27); \
	ROW3(Z12, Z13, Z14); \
	LOADW(WHALF(DI)(R8*1), Z27); \
	ROW3(Z15, Z16, Z17); \
	LOADW(WHALF(DI)(R8*2), Z27); \
	ROW3(Z18, Z19, Z20); \
	LOADW(WHALF(DI)(R9*1), Z27); \
	ROW3(Z21, Z22, Z23); \
	ADDQ  $128, SI; \
	ADDQ  $WSTEP, DI; \
	DECQ  CX; \
	JNZ   loop; \
rest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   loop; \
fold: \
	VADDPS Z12, Z0, Z0; \
	VADDPS Z13, Z1, Z1; \
	VADDPS Z14, Z2, Z2; \
	VADDPS Z15, Z3, Z3; \
	VADDPS Z16, Z4, Z4; \
	VADDPS Z17, Z5, Z5; \
	VADDPS Z18, Z6, Z6; \
	VADDPS Z19, Z7, Z7; \
	VADDPS Z20, Z8, Z8; \
	VADDPS Z21, Z9, Z9; \
	VADDPS Z22, Z10, Z10; \
	VADDPS Z23, Z11, Z11; \
	HALVE(Z0, Y0, X0); \
	HALVE(Z1, Y1, X1); \
	HALVE(Z2, Y2, X2); \
	HALVE(Z3, Y3, X3); \
	HALVE(Z4, Y4, X4); \
	HALVE(Z5, Y5, X5); \
	HALVE(Z6, Y6, X6); \
	HALVE(Z7, Y7, X7); \
	HALVE(Z8, Y8, X8); \
	HALVE(Z9, Y9, X9); \
	HALVE(Z10, Y10, X10); \
	HALVE(Z11, Y11, X11); \
	FINISH(X0, X3, X6, X9, (DX)); \
	FINISH(X1, X4, X7, X10, (DX)(R11*1)); \
	FINISH(X2, X5, X8, X11, (DX)(R11*2)); \
	VZEROUPPER; \
	RET

#define TILE2 \
	ARGUMENTS; \
	CLEAR4(Z0, Z1, Z2, Z3); \
	CLEAR4(Z4, Z5, Z6, Z7); \
	CLEAR4(Z8, Z9, Z10, Z11); \
	CLEAR4(Z12, Z13, Z14, Z15); \
	TESTQ CX, CX; \
	JZ    rest; \
loop: \
	AHEAD4ROWS; \
	VMOVUPS (SI), Z24; \
	VMOVUPS (SI)(R10*1), Z25; \
	LOADW((DI), Z27); \
	ROW2(Z0, Z1); \
	LOADW((DI)(R8*1), Z27); \
	ROW2(Z2, Z3); \
	LOADW((DI)(R8*2), Z27); \
	ROW2(Z4, Z5); \
	LOADW((DI)(R9*1), Z27); \
	ROW2(Z6, Z7); \
	VMOVUPS 64(SI), Z24; \
	VMOVUPS 64(SI)(R10*1), Z25; \
	LOADW(WHALF(DI), Z27); \
	ROW2(Z8, Z9); \
	LOADW(WHALF(DI)(R8*1), Z27); \
	ROW2(Z10, Z11); \
	LOADW(WHALF(DI)(R8*2), Z27); \
	ROW2(Z12, Z13); \
	LOADW(WHALF(DI)(R9*1), Z27); \
	ROW2(Z14, Z15); \
	ADDQ  $128, SI; \
	ADDQ  $WSTEP, DI; \
	DECQ  CX; \
	JNZ   loop; \
rest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   loop; \
fold: \
	VADDPS Z8, Z0, Z0; \
	VADDPS Z9, Z1, Z1; \
	VADDPS Z10, Z2, Z2; \
	VADDPS Z11, Z3, Z3; \
	VADDPS Z12, Z4, Z4; \
	VADDPS Z13, Z5, Z5; \
	VADDPS Z14, Z6, Z6; \
	VADDPS Z15, Z7, Z7; \
	HALVE(Z0, Y0, X0); \
	HALVE(Z1, Y1, X1); \
	HALVE(Z2, Y2, X2); \
	HALVE(Z3, Y3, X3); \
	HALVE(Z4, Y4, X4); \
	HALVE(Z5, Y5, X5); \
	HALVE(Z6, Y6, X6); \
	HALVE(Z7, Y7, X7); \
	FINISH(X0, X2, X4, X6, (DX)); \
	FINISH(X1, X3, X5, X7, (DX)(R11*1)); \
	VZEROUPPER; \
	RET

// ELEMENT is one row and one token.
#define ELEMENT \
	ARGUMENTS; \
	VPXORD Z0, Z0, Z0; \
	VPXORD Z1, Z1, Z1; \
	TESTQ CX, CX; \
	JZ    rest; \
loop: \
	LOADW((DI), Z16); \
	LOADW(WHALF(DI), Z17); \
	VFMADD231PS (SI), Z16, Z0; \
	VFMADD231PS 64(SI), Z17, Z1; \
	ADDQ $128, SI; \
	ADDQ $WSTEP, DI; \
	DECQ CX; \
	JNZ  loop; \
rest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   loop; \
fold: \
	VADDPS Z1, Z0, Z0; \
	HALVE(Z0, Y0, X0); \
	VUNPCKHPD X0, X0, X1; \
	VADDPS X1, X0, X0; \
	VMOVSHDUP X0, X1; \
	VADDSS X1, X0, X0; \
	VMOVSS X0, (DX); \
	VZEROUPPER; \
	RET
