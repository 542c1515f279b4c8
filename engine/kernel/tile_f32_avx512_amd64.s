#include "textflag.h"
#include "go_asm.h"

#define LOADW(m, z) VMOVUPS m, z
#define WHALF 64
#define WSTEP 128
#define AHEAD4ROWS AHEAD8LINES
#define AHEAD8ROWS AHEAD16LINES

#include "tile_avx512_amd64.h"

// func tile3F32AVX512(t *tile)
TEXT ·tile3F32AVX512(SB), NOSPLIT, $0-8
	TILE3

// func tile2F32AVX512(t *tile)
TEXT ·tile2F32AVX512(SB), NOSPLIT, $0-8
	TILE2

// func tile1F32AVX512(t *tile)
TEXT ·tile1F32AVX512(SB), NOSPLIT, $0-8
	TILE1

// func elementF32AVX512(t *tile)
TEXT ·elementF32AVX512(SB), NOSPLIT, $0-8
	ELEMENT
