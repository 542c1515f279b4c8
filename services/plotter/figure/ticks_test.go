package figure

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"gonum.org/v1/plot"
)

func labels(ticks []plot.Tick) string {
	var out []string
	for _, tick := range ticks {
		out = append(out, tick.Label)
	}
	return strings.Join(out, " ")
}

func eightLog(low, high float64) []plot.Tick { return logValues(low, high, 8) }

func TestTicks(t *testing.T) {
	tests := []struct {
		name      string
		ticks     func(low, high float64) []plot.Tick
		low, high float64
		want      string
	}{
		{"round", roundTicks, 0, 61.5, "0 20 40 60"},
		{"round", roundTicks, 0, 60, "0 10 20 30 40 50 60"},
		{"round", roundTicks, 0, 230, "0 50 100 150 200"},
		{"round", roundTicks, 0, 7, "0 2 4 6"},
		{"round", roundTicks, 0, 1, "0 0.2 0.4 0.6 0.8 1"},
		{"round", roundTicks, 0, 0.001, "0 0.0002 0.0004 0.0006 0.0008 0.001"},
		{"round", roundTicks, 0, 12345, "0 5000 10000"},
		{"round", roundTicks, 1.7, 4.2, "2 2.5 3 3.5 4"},
		{"log", eightLog, 22, 170, "30 40 50 70 100 150"},
		{"log", eightLog, 30, 320, "30 40 50 70 100 150 200 300"},
		{"log", eightLog, 9, 1100, "10 20 50 100 200 500 1000"},
		{"log", eightLog, 0.001, 1000, "0.001 0.01 0.1 1 10 100 1000"},
		{"time", timeTicks, 0, 1140, "0 120 240 360 480 600 720 840 960 1080"},
		{"time", timeTicks, 0, 11, "0 1 2 3 4 5 6 7 8 9 10 11"},
		{"time", timeTicks, 0, 43200, "0 3600 7200 10800 14400 18000 21600 25200 28800 32400 36000 39600 43200"},
	}
	for _, tt := range tests {
		if got := labels(tt.ticks(tt.low, tt.high)); got != tt.want {
			t.Errorf("%s, %g to %g: got %s, want %s", tt.name, tt.low, tt.high, got, tt.want)
		}
	}
}

func TestTicksAreFewAndInside(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		high := math.Exp(rng.Float64()*30 - 10)
		for _, axis := range []struct {
			name        string
			ticks       func(low, high float64) []plot.Tick
			low, high   float64
			least, most int
		}{
			{"round", roundTicks, 0, high, 3, 7},
			{"time", timeTicks, 0, 12 + high, 4, 13},
			{"log", eightLog, high, high * (4 + 1000*rng.Float64()), 2, 8},
		} {
			ticks := axis.ticks(axis.low, axis.high)
			if n := len(ticks); n < axis.least || n > axis.most || ticks[0].Value < axis.low || ticks[n-1].Value > axis.high {
				t.Errorf("%s, %g to %g: got %v", axis.name, axis.low, axis.high, ticks)
			}
		}
	}
}
