#include "textflag.h"
#include "go_asm.h"

// A bfloat16 is the high half of a float32.
#define LOADW(m, z) \
	VPMOVZXWD m, z; \
	VPSLLD $16, z, z
#define WHALF 32
#define WSTEP 64
#define AHEAD4ROWS AHEAD4LINES
#define AHEAD8ROWS AHEAD8LINES

#include "tile_avx512_amd64.h"

// func tile3BF16AVX512(t *tile)
TEXT ·tile3BF16AVX512(SB), NOSPLIT, $0-8
	TILE3

// func tile2BF16AVX512(t *tile)
TEXT ·tile2BF16AVX512(SB), NOSPLIT, $0-8
	TILE2

// func tile1BF16AVX512(t *tile)
TEXT ·tile1BF16AVX512(SB), NOSPLIT, $0-8
	TILE1

// func elementBF16AVX512(t *tile)
TEXT ·elementBF16AVX512(SB), NOSPLIT, $0-8
	ELEMENT
