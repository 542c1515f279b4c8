#include "textflag.h"
#include "go_asm.h"

#define LOADW(m, y) VMOVUPS m, y
#define W8 32
#define W16 64
#define W24 96
#define WSTEP 128
#define AHEAD2ROWS AHEAD4LINES

#include "tile_avx2_amd64.h"

// func tile3F32AVX2(t *tile)
TEXT ·tile3F32AVX2(SB), NOSPLIT, $384-8
	TILE3

// func tile2F32AVX2(t *tile)
TEXT ·tile2F32AVX2(SB), NOSPLIT, $256-8
	TILE2

// func tile1F32AVX2(t *tile)
TEXT ·tile1F32AVX2(SB), NOSPLIT, $0-8
	TILE1

// func elementF32AVX2(t *tile)
TEXT ·elementF32AVX2(SB), NOSPLIT, $0-8
	ELEMENT
