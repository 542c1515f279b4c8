// Tiles of 2 rows by 3, 2 or 1 tokens and of one element, for AVX2 and FMA3. The
// file that includes this defines what the weights are:
//
//	LOADW(m, y)  loads 8 weights as float32
//	W8, W16, W24 bytes of so many weights
//	WSTEP        bytes of 32 weights
//	AHEAD2ROWS   prefetches as many bytes as a step reads of 2 rows
//
// There are registers for half of the lanes of an element, so the larger tiles
// pass twice over their rows: lanes 0 to 15, then, the first kept in the frame,
// lanes 16 to 31; a pass has every other cache line (of f32). AX is the tile;
// rows are at DI and DI+R8, tokens at SI, SI+R10, SI+2*R10. The next rows are
// prefetched at R12, in the order of the memory.

#define AHEAD2LINES \
	PREFETCHT1 (R12);   \
	PREFETCHT1 64(R12); \
	ADDQ       $128, R12

#define AHEAD4LINES \
	AHEAD2LINES; \
	AHEAD2LINES

#define OPERANDS \
	MOVQ tile_w(AX), DI;        \
	MOVQ tile_wStride(AX), R8;  \
	MOVQ tile_x(AX), SI;        \
	MOVQ tile_xStride(AX), R10; \
	MOVQ tile_steps(AX), CX;    \
	MOVQ tile_xTail(AX), BX

#define ARGUMENTS \
	MOVQ t+0(FP), AX;      \
	MOVQ tile_out(AX), DX; \
	MOVQ tile_outStride(AX), R11; \
	MOVQ tile_ahead(AX), R12

// TAIL makes the padded rest the next and last step.
#define TAIL \
	MOVQ BX, SI;             \
	MOVQ tile_wTail(AX), DI; \
	MOVQ $WSTEP, R8;         \
	MOVQ $128, R10;          \
	XORL BX, BX;             \
	MOVQ $1, CX

#define CLEAR4(a, b, c, d) \
	VXORPS a, a, a; \
	VXORPS b, b, b; \
	VXORPS c, c, c; \
	VXORPS d, d, d

// HALVE adds the upper four lanes to the lower; temporary X15.
#define HALVE(y, x) \
	VEXTRACTF128 $1, y, X15; \
	VADDPS       X15, x, x

// FINISH folds the four lanes of two elements and stores the elements.
#define FINISH(a, b, at) \
	VUNPCKLPD b, a, X12;        \
	VUNPCKHPD b, a, X13;        \
	VADDPS    X13, X12, X12;    \
	VSHUFPS   $0x88, X12, X12, X13; \
	VSHUFPS   $0xdd, X12, X12, X15; \
	VADDPS    X15, X13, X13;    \
	VMOVSD    X13, at

#define ROW3(a, b, c) \
	VFMADD231PS Y12, Y15, a; \
	VFMADD231PS Y13, Y15, b; \
	VFMADD231PS Y14, Y15, c

#define ROW2(a, b) \
	VFMADD231PS Y12, Y15, a; \
	VFMADD231PS Y13, Y15, b

// QUARTER3 is 8 lanes of the tile; its sums start at register a.
#define QUARTER3(x, w, a, b, c, d, e, f) \
	VMOVUPS x(SI), Y12; \
	VMOVUPS x(SI)(R10*1), Y13; \
	VMOVUPS x(SI)(R10*2), Y14; \
	LOADW(w(DI), Y15); \
	ROW3(a, b, c); \
	LOADW(w(DI)(R8*1), Y15); \
	ROW3(d, e, f)

#define QUARTER2(x, w, a, b, c, d) \
	VMOVUPS x(SI), Y12; \
	VMOVUPS x(SI)(R10*1), Y13; \
	LOADW(w(DI), Y15); \
	ROW2(a, b); \
	LOADW(w(DI)(R8*1), Y15); \
	ROW2(c, d)

#define STEP \
	ADDQ $128, SI;   \
	ADDQ $WSTEP, DI; \
	DECQ CX

#define TILE3 \
	ARGUMENTS; \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	CLEAR4(Y4, Y5, Y6, Y7); \
	CLEAR4(Y8, Y9, Y10, Y11); \
	TESTQ CX, CX; \
	JZ    lowRest; \
low: \
	AHEAD2ROWS; \
	QUARTER3(0, 0, Y0, Y1, Y2, Y3, Y4, Y5); \
	QUARTER3(32, W8, Y6, Y7, Y8, Y9, Y10, Y11); \
	STEP; \
	JNZ low; \
lowRest: \
	TESTQ BX, BX; \
	JZ    second; \
	TAIL; \
	JMP   low; \
second: \
	VMOVUPS Y0, s-384(SP); \
	VMOVUPS Y1, s-352(SP); \
	VMOVUPS Y2, s-320(SP); \
	VMOVUPS Y3, s-288(SP); \
	VMOVUPS Y4, s-256(SP); \
	VMOVUPS Y5, s-224(SP); \
	VMOVUPS Y6, s-192(SP); \
	VMOVUPS Y7, s-160(SP); \
	VMOVUPS Y8, s-128(SP); \
	VMOVUPS Y9, s-96(SP); \
	VMOVUPS Y10, s-64(SP); \
	VMOVUPS Y11, s-32(SP); \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	CLEAR4(Y4, Y5, Y6, Y7); \
	CLEAR4(Y8, Y9, Y10, Y11); \
	TESTQ CX, CX; \
	JZ    highRest; \
high: \
	QUARTER3(64, W16, Y0, Y1, Y2, Y3, Y4, Y5); \
	QUARTER3(96, W24, Y6, Y7, Y8, Y9, Y10, Y11); \
	STEP; \
	JNZ high; \
highRest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   high; \
fold: \
	VADDPS s-384(SP), Y0, Y0; \
	VADDPS s-352(SP), Y1, Y1; \
	VADDPS s-320(SP), Y2, Y2; \
	VADDPS s-288(SP), Y3, Y3; \
	VADDPS s-256(SP), Y4, Y4; \
	VADDPS s-224(SP), Y5, Y5; \
	VADDPS s-192(SP), Y6, Y6; \
	VADDPS s-160(SP), Y7, Y7; \
	VADDPS s-128(SP), Y8, Y8; \
	VADDPS s-96(SP), Y9, Y9; \
	VADDPS s-64(SP), Y10, Y10; \
	VADDPS s-32(SP), Y11, Y11; \
	VADDPS Y6, Y0, Y0; \
	VADDPS Y7, Y1, Y1; \
	VADDPS Y8, Y2, Y2; \
	VADDPS Y9, Y3, Y3; \
	VADDPS Y10, Y4, Y4; \
	VADDPS Y11, Y5, Y5; \
	HALVE(Y0, X0); \
	HALVE(Y1, X1); \
	HALVE(Y2, X2); \
	HALVE(Y3, X3); \
	HALVE(Y4, X4); \
	HALVE(Y5, X5); \
	FINISH(X0, X3, (DX)); \
	FINISH(X1, X4, (DX)(R11*1)); \
	FINISH(X2, X5, (DX)(R11*2)); \
	VZEROUPPER; \
	RET

#define TILE2 \
	ARGUMENTS; \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	CLEAR4(Y4, Y5, Y6, Y7); \
	TESTQ CX, CX; \
	JZ    lowRest; \
low: \
	AHEAD2ROWS; \
	QUARTER2(0, 0, Y0, Y1, Y2, Y3); \
	QUARTER2(32, W8, Y4, Y5, Y6, Y7); \
	STEP; \
	JNZ low; \
lowRest: \
	TESTQ BX, BX; \
	JZ    second; \
	TAIL; \
	JMP   low; \
second: \
	VMOVUPS Y0, s-256(SP); \
	VMOVUPS Y1, s-224(SP); \
	VMOVUPS Y2, s-192(SP); \
	VMOVUPS Y3, s-160(SP); \
	VMOVUPS Y4, s-128(SP); \
	VMOVUPS Y5, s-96(SP); \
	VMOVUPS Y6, s-64(SP); \
	VMOVUPS Y7, s-32(SP); \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	CLEAR4(Y4, Y5, Y6, Y7); \
	TESTQ CX, CX; \
	JZ    highRest; \
high: \
	QUARTER2(64, W16, Y0, Y1, Y2, Y3); \
	QUARTER2(96, W24, Y4, Y5, Y6, Y7); \
	STEP; \
	JNZ high; \
highRest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   high; \
fold: \
	VADDPS s-256(SP), Y0, Y0; \
	VADDPS s-224(SP), Y1, Y1; \
	VADDPS s-192(SP), Y2, Y2; \
	VADDPS s-160(SP), Y3, Y3; \
	VADDPS s-128(SP), Y4, Y4; \
	VADDPS s-96(SP), Y5, Y5; \
	VADDPS s-64(SP), Y6, Y6; \
	VADDPS s-32(SP), Y7, Y7; \
	VADDPS Y4, Y0, Y0; \
	VADDPS Y5, Y1, Y1; \
	VADDPS Y6, Y2, Y2; \
	VADDPS Y7, Y3, Y3; \
	HALVE(Y0, X0); \
	HALVE(Y1, X1); \
	HALVE(Y2, X2); \
	HALVE(Y3, X3); \
	FINISH(X0, X2, (DX)); \
	FINISH(X1, X3, (DX)(R11*1)); \
	VZEROUPPER; \
	RET

// TILE1 has registers for all lanes of its two elements.
#define TILE1 \
	ARGUMENTS; \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	CLEAR4(Y4, Y5, Y6, Y7); \
	TESTQ CX, CX; \
	JZ    rest; \
loop: \
	AHEAD2ROWS; \
	VMOVUPS (SI), Y8; \
	VMOVUPS 32(SI), Y9; \
	VMOVUPS 64(SI), Y10; \
	VMOVUPS 96(SI), Y11; \
	LOADW((DI), Y12); \
	LOADW(W8(DI), Y13); \
	LOADW(W16(DI), Y14); \
	LOADW(W24(DI), Y15); \
	VFMADD231PS Y8, Y12, Y0; \
	VFMADD231PS Y9, Y13, Y1; \
	VFMADD231PS Y10, Y14, Y2; \
	VFMADD231PS Y11, Y15, Y3; \
	LOADW((DI)(R8*1), Y12); \
	LOADW(W8(DI)(R8*1), Y13); \
	LOADW(W16(DI)(R8*1), Y14); \
	LOADW(W24(DI)(R8*1), Y15); \
	VFMADD231PS Y8, Y12, Y4; \
	VFMADD231PS Y9, Y13, Y5; \
	VFMADD231PS Y10, Y14, Y6; \
	VFMADD231PS Y11, Y15, Y7; \
	STEP; \
	JNZ  loop; \
rest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   loop; \
fold: \
	VADDPS Y2, Y0, Y0; \
	VADDPS Y3, Y1, Y1; \
	VADDPS Y6, Y4, Y4; \
	VADDPS Y7, Y5, Y5; \
	VADDPS Y1, Y0, Y0; \
	VADDPS Y5, Y4, Y4; \
	HALVE(Y0, X0); \
	HALVE(Y4, X4); \
	FINISH(X0, X4, (DX)); \
	VZEROUPPER; \
	RET

// ELEMENT is one row and one token.
#define ELEMENT \
	ARGUMENTS; \
	OPERANDS; \
	CLEAR4(Y0, Y1, Y2, Y3); \
	TESTQ CX, CX; \
	JZ    rest; \
loop: \
	LOADW((DI), Y12); \
	LOADW(W8(DI), Y13); \
	LOADW(W16(DI), Y14); \
	LOADW(W24(DI), Y15); \
	VFMADD231PS (SI), Y12, Y0; \
	VFMADD231PS 32(SI), Y13, Y1; \
	VFMADD231PS 64(SI), Y14, Y2; \
	VFMADD231PS 96(SI), Y15, Y3; \
	STEP; \
	JNZ  loop; \
rest: \
	TESTQ BX, BX; \
	JZ    fold; \
	TAIL; \
	JMP   loop; \
fold: \
	VADDPS Y2, Y0, Y0; \
	VADDPS Y3, Y1, Y1; \
	VADDPS Y1, Y0, Y0; \
	HALVE(Y0, X0); \
	VUNPCKHPD X0, X0, X1; \
	VADDPS X1, X0, X0; \
	VMOVSHDUP X0, X1; \
	VADDSS X1, X0, X0; \
	VMOVSS X0, (DX); \
	VZEROUPPER; \
	RET
