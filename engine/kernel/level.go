package kernel

// Level is a set of processor instructions that the kernels are written for.
// Levels differ in speed only.
type Level uint8

// The levels. Best, the zero value, stands for the first of [Levels].
const (
	Best Level = iota
	Generic
	AVX2   // AVX2 and FMA3
	AVX512 // AVX-512 F and VL
)

func (l Level) String() string {
	switch l {
	case Generic:
		return "generic"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	default:
		return "best"
	}
}

// Levels lists what this machine can run, best first. Generic is always last.
func Levels() []Level { return append(nativeLevels(), Generic) }

// usable is the best level that the machine has and that is not above l.
func usable(l Level) Level {
	for _, has := range Levels() {
		if l == Best || has <= l {
			return has
		}
	}
	return Generic
}
