package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/spotserve/spotserve/engine/internal/half"
	"github.com/spotserve/spotserve/engine/model"
)

// Type is how the elements of a tensor are stored.
type Type uint32

// The types that are read and written. Q8_0 is blocks of 32 int8 with an f16
// scale.
const (
	F32  Type = 0
	F16  Type = 1
	Q8_0 Type = 8
	BF16 Type = 30
)

const supportedTypes = "F32, F16, BF16 and Q8_0"

// elements are the types whose layout is known: block elements in bytes bytes.
var elements = map[Type]struct{ block, bytes int64 }{
	F32: {1, 4}, F16: {1, 2}, BF16: {1, 2}, Q8_0: {32, 34},
}

var typeNames = map[Type]string{
	F32: "F32", F16: "F16", BF16: "BF16", Q8_0: "Q8_0",
	2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1",
	10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 15: "Q8_K",
	16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS",
	24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}

func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// decode reads len(dst) elements; skip is how many of the first block of src come
// before them.
func (t Type) decode(dst []float32, src []byte, skip int) {
	switch t {
	case F32:
		model.Decode(dst, src, model.F32)
	case BF16:
		model.Decode(dst, src, model.BF16)
	case F16:
		for i := range dst {
			dst[i] = half.From(binary.LittleEndian.Uint16(src[2*i:]))
		}
	case Q8_0:
		for i := range dst {
			at := (skip + i) / 32 * 34
			scale := half.From(binary.LittleEndian.Uint16(src[at:]))
			dst[i] = scale * float32(int8(src[at+2+(skip+i)%32])) // exact: 11 bits by 8
		}
	}
}

// encode writes src, a whole number of blocks.
func (t Type) encode(dst []byte, src []float32) {
	switch t {
	case F32:
		model.Encode(dst, src, model.F32)
	case BF16:
		model.Encode(dst, src, model.BF16)
	case F16:
		for i, v := range src {
			binary.LittleEndian.PutUint16(dst[2*i:], half.To(v))
		}
	case Q8_0:
		for ; len(src) > 0; src, dst = src[32:], dst[34:] {
			quantise(dst[:34], src[:32])
		}
	}
}

// quantise writes one Q8_0 block.
func quantise(dst []byte, src []float32) {
	most := float32(0)
	for _, v := range src {
		most = max(most, float32(math.Abs(float64(v))))
	}
	scale := half.To(most / 127)
	binary.LittleEndian.PutUint16(dst, scale)
	for i, v := range src {
		q := 0.0
		if s := half.From(scale); s != 0 {
			q = math.RoundToEven(float64(v) / float64(s))
		}
		dst[2+i] = byte(int8(max(-127, min(127, q))))
	}
}
