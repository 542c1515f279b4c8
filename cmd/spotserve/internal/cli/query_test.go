package cli

import (
	"math"
	"strconv"
	"testing"
)

// TestExact: numbers print like those of the stock clickhouse-client, and read
// back as they were.
func TestExact(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 195: "195", 27.65771479623894: "27.65771479623894", 6.1899500000000005: "6.1899500000000005",
		0.000021397780696902658: "0.000021397780696902658", -0.5: "-0.5", 1e-6: "0.000001", 1.5e-7: "1.5e-7",
		1e20: "100000000000000000000", 1e21: "1e+21", math.MaxFloat64: "1.7976931348623157e+308",
	} {
		got := exact(v)
		if back, err := strconv.ParseFloat(got, 64); got != want || err != nil || back != v {
			t.Errorf("%v prints %s, want %s", v, got, want)
		}
	}
}
