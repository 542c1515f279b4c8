//go:build !amd64

package kernel

func nativeLevels() []Level { return nil }

func matMulRows(_ Level, out []float32, stride int, x []float32, n int, w Matrix, from, to int) {
	matMulGeneric(out, stride, x, n, w, from, to)
}

func scale(_ Level, out, x, weight []float32, by float32) { scaleGeneric(out, x, weight, by) }

func rope(_ Level, a, b, cos, sin []float32) { ropeGeneric(a, b, cos, sin) }

func siluMul(_ Level, out, gate, up []float32) { siluMulGeneric(out, gate, up) }

func add(_ Level, dst, src []float32) { addGeneric(dst, src) }

func maximum(_ Level, x []float32) float32 { return maximumGeneric(x) }

func expSum(_ Level, x []float32, largest float32) float32 { return expSumGeneric(x, largest) }

func weigh(_ Level, out, p, v []float32) { weighGeneric(out, p, v) }

// pause does nothing for a moment.
func pause() {}
