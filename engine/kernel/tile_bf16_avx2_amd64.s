#include "textflag.h"
#include "go_asm.h"

// A bfloat16 is the high half of a float32.
#define LOADW(m, y) \
	VPMOVZXWD m, y; \
	VPSLLD $16, y, y
#define W8 16
#define W16 32
#define W24 48
#define WSTEP 64
#define AHEAD2ROWS AHEAD2LINES

#include "tile_avx2_amd64.h"

// func tile3BF16AVX2(t *tile)
TEXT ·tile3BF16AVX2(SB), NOSPLIT, $384-8
	TILE3

// func tile2BF16AVX2(t *tile)
TEXT ·tile2BF16AVX2(SB), NOSPLIT, $256-8
	TILE2

// func tile1BF16AVX2(t *tile)
TEXT ·tile1BF16AVX2(SB), NOSPLIT, $0-8
	TILE1

// func elementBF16AVX2(t *tile)
TEXT ·elementBF16AVX2(SB), NOSPLIT, $0-8
	ELEMENT
