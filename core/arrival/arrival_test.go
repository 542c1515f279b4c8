package arrival

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/core/draw"
	"github.com/spotserve/spotserve/core/vtime"
)

// gapStats returns the mean of the gaps in seconds and their coefficient of
// variation over several seeds.
func gapStats(t *testing.T, p Process, seeds uint64, end vtime.Time) (mean, cv float64) {
	t.Helper()
	var n, sum, squares float64
	for seed := range seeds {
		times, err := p.Times(seed, end)
		if err != nil {
			t.Fatal(err)
		}
		last := 0.0
		for _, at := range times {
			gap := at.Seconds() - last
			last = at.Seconds()
			n, sum, squares = n+1, sum+gap, squares+gap*gap
		}
	}
	mean = sum / n
	return mean, math.Sqrt(squares/n-mean*mean) / mean
}

func TestGapsHaveTheStatedMeanAndVariation(t *testing.T) {
	hours := func(h float64) vtime.Time { return vtime.Seconds(h * 3600) }
	tests := []struct {
		name      string
		process   Process
		end       vtime.Time
		cv        float64
		tolerance float64 // relative
	}{
		// sqrt(cv*rate/1000): quirk 1 of the published generator.
		{"artifact 6.7B", Process{Kind: Artifact, Rate: 1.5, CV: 6}, hours(10), 0.09487, 0.02},
		{"artifact 20B", Process{Kind: Artifact, Rate: 0.35, CV: 6}, hours(10), 0.04583, 0.02},
		{"artifact 30B", Process{Kind: Artifact, Rate: 0.2, CV: 6}, hours(10), 0.03464, 0.02},
		{"gamma even", Process{Kind: Gamma, Rate: 1, CV: 0.5}, hours(10), 0.5, 0.02},
		{"gamma as poisson", Process{Kind: Gamma, Rate: 1, CV: 1}, hours(10), 1, 0.02},
		{"gamma of shape below one", Process{Kind: Gamma, Rate: 2, CV: 2}, hours(50), 2, 0.03},
		{"gamma bursty", Process{Kind: Gamma, Rate: 10, CV: 6}, hours(50), 6, 0.05},
		{"poisson", Process{Kind: Poisson, Rate: 1}, hours(10), 1, 0.02},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mean, cv := gapStats(t, tt.process, 5, tt.end)
			if want := 1 / tt.process.Rate; math.Abs(mean/want-1) > tt.tolerance {
				t.Errorf("mean gap %v s, want %v s", mean, want)
			}
			if math.Abs(cv/tt.cv-1) > tt.tolerance {
				t.Errorf("coefficient of variation %v, want %v", cv, tt.cv)
			}
		})
	}
}

func TestGammaVariateHasMeanAndVarianceOfItsShape(t *testing.T) {
	for _, shape := range []float64{0.05, 0.5, 1, 2.5, 111, 1e6} {
		r := draw.Stream(7, "test")
		const n = 200_000
		var sum, squares float64
		for range n {
			x := gammaVariate(r, shape)
			if x < 0 || math.IsNaN(x) {
				t.Fatalf("shape %v: drew %v", shape, x)
			}
			sum, squares = sum+x-shape, squares+(x-shape)*(x-shape)
		}
		// Standard error of the mean is sqrt(shape/n), that of the variance
		// sqrt((2+6/shape)/n) of it.
		if off := sum / n; math.Abs(off) > 5*math.Sqrt(shape/n) {
			t.Errorf("shape %v: mean is off by %v", shape, off)
		}
		if off := squares/n/shape - 1; math.Abs(off) > 5*math.Sqrt((2+6/shape)/n) {
			t.Errorf("shape %v: variance is off by a share of %v", shape, off)
		}
	}
}

func TestEvenSpacesRequestsEqually(t *testing.T) {
	got, err := Process{Kind: Even, Rate: 4}.Times(1, vtime.Seconds(1))
	if err != nil {
		t.Fatal(err)
	}
	want := []vtime.Time{vtime.Seconds(0.25), vtime.Seconds(0.5), vtime.Seconds(0.75)}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v: the end itself is outside", got, want)
	}
}

func TestGapsHaveTheRateOfTheMinuteThatTheyBeginIn(t *testing.T) {
	// 0.5 a second until 60 s, then 0.1; the arrival at 60 s is in the second
	// minute, the last rate goes on.
	p := Process{Kind: Even, Rates: []float64{0.5, 0.1}}
	got, err := p.Times(1, vtime.Seconds(145))
	if err != nil {
		t.Fatal(err)
	}
	var want []vtime.Time
	for s := 2.0; s <= 60; s += 2 {
		want = append(want, vtime.Seconds(s))
	}
	for s := 70.0; s < 145; s += 10 {
		want = append(want, vtime.Seconds(s))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	// A gap that begins before the minute's end crosses it at its own rate.
	got, err = Process{Kind: Even, Rates: []float64{1 / 50., 1}}.Times(1, vtime.Seconds(103))
	if want := []vtime.Time{vtime.Seconds(50), vtime.Seconds(100), vtime.Seconds(101), vtime.Seconds(102)}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestOneRateEveryMinuteIsThatRate(t *testing.T) {
	end := vtime.Seconds(300)
	for _, kind := range Kinds() {
		one, err := Process{Kind: kind, Rate: 1.5, CV: 6}.Times(3, end)
		if err != nil {
			t.Fatal(err)
		}
		for _, rates := range [][]float64{{1.5}, {1.5, 1.5, 1.5}, {1.5, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5}} {
			// Rate itself is not looked at.
			got, err := Process{Kind: kind, Rate: -1, CV: 6, Rates: rates}.Times(3, end)
			if err != nil || !slices.Equal(got, one) {
				t.Errorf("%s at %v: %d times, %v, want the %d of a constant rate", kind, rates, len(got), err, len(one))
			}
		}
	}
}

func TestEveryMinuteHasItsRate(t *testing.T) {
	rates := []float64{2, 10, 0.5, 4}
	for _, kind := range Kinds() {
		p := Process{Kind: kind, CV: 1, Rates: rates}
		counts := make([]float64, len(rates))
		const seeds = 200
		for seed := range uint64(seeds) {
			times, err := p.Times(seed, vtime.Seconds(240))
			if err != nil {
				t.Fatal(err)
			}
			for _, at := range times {
				counts[int(at.Seconds()/60)]++
			}
		}
		for m, rate := range rates {
			// The gap that crosses into a minute has the rate before it, which is
			// up to one request more or less.
			if got := counts[m] / seeds / 60; math.Abs(got/rate-1) > 0.1 {
				t.Errorf("%s: minute %d has %v requests/s, want %v", kind, m, got, rate)
			}
		}
	}
}

func TestMean(t *testing.T) {
	varying := Process{Rates: []float64{1, 3}}
	for _, tt := range []struct {
		process Process
		end     float64
		want    float64
	}{
		{Process{Rate: 0.35}, 1320, 0.35},
		{varying, 30, 1},
		{varying, 60, 1},
		{varying, 90, 5. / 3},
		{varying, 120, 2},
		{varying, 240, 2.5},
	} {
		if got := tt.process.Mean(vtime.Seconds(tt.end)); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%+v until %v s: mean %v, want %v", tt.process, tt.end, got, tt.want)
		}
	}
}

func TestTimesAreDeterministicAscendingAndBeforeTheEnd(t *testing.T) {
	end := vtime.Seconds(1320)
	for _, kind := range Kinds() {
		p := Process{Kind: kind, Rate: 1.5, CV: 6}
		first, err := p.Times(1, end)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := p.Times(1, end)
		if !slices.Equal(first, again) {
			t.Errorf("%s: the same seed gave two sequences", kind)
		}
		other, _ := p.Times(2, end)
		if kind != Even && slices.Equal(first, other) {
			t.Errorf("%s: two seeds gave one sequence", kind)
		}
		if !slices.IsSorted(first) || len(first) == 0 || first[0] < 0 || first[len(first)-1] >= end {
			t.Errorf("%s: times leave [0, %v) or run backwards", kind, end)
		}
		// A shorter run sees the same requests.
		half, _ := p.Times(1, end/2)
		if !slices.Equal(half, first[:len(half)]) {
			t.Errorf("%s: a shorter run drew other times", kind)
		}
	}
}

func TestNothingArrivesBeforeAnEndAtTheStart(t *testing.T) {
	for _, kind := range Kinds() {
		times, err := Process{Kind: kind, Rate: 1.5, CV: 6}.Times(1, 0)
		if err != nil || len(times) != 0 {
			t.Errorf("%s: got %v, %v", kind, times, err)
		}
	}
}

func TestBadParametersAreErrors(t *testing.T) {
	end := vtime.Seconds(100)
	tests := []struct {
		name    string
		process Process
		end     vtime.Time
		want    string
	}{
		{"unknown kind", Process{Kind: "uniform", Rate: 1, CV: 1}, end, "unknown kind"},
		{"no kind", Process{Rate: 1}, end, "unknown kind"},
		{"zero rate", Process{Kind: Artifact, Rate: 0, CV: 6}, end, "rate"},
		{"negative rate", Process{Kind: Poisson, Rate: -1, CV: 0}, end, "rate"},
		{"rate not a number", Process{Kind: Even, Rate: math.NaN(), CV: 0}, end, "rate"},
		{"infinite rate", Process{Kind: Gamma, Rate: math.Inf(1), CV: 1}, end, "rate"},
		{"zero rate of a minute", Process{Kind: Poisson, Rate: 1, Rates: []float64{1, 0, 1}}, end, "rate"},
		{"rate of a minute not a number", Process{Kind: Poisson, Rates: []float64{1, math.NaN()}}, end, "rate"},
		{"cv below precision in a minute", Process{Kind: Artifact, CV: 1e-8, Rates: []float64{1, 1e-3}}, end, "at 0.001 requests/s with cv"},
		{"endless minutes", Process{Kind: Even, Rates: []float64{1, 1e6}}, end, "at most"},
		{"zero cv", Process{Kind: Gamma, Rate: 1, CV: 0}, end, "cv"},
		{"negative cv", Process{Kind: Artifact, Rate: 1, CV: -6}, end, "cv"},
		{"negative cv of a square", Process{Kind: Gamma, Rate: 1, CV: -6}, end, "cv"},
		{"cv not a number", Process{Kind: Gamma, Rate: 1, CV: math.NaN()}, end, "cv"},
		{"infinite cv", Process{Kind: Artifact, Rate: 1, CV: math.Inf(1)}, end, "cv"},
		{"cv that puts all gaps at zero", Process{Kind: Gamma, Rate: 1, CV: 1e6}, end, "cv"},
		{"cv below precision", Process{Kind: Gamma, Rate: 1, CV: 1e-200}, end, "cv"},
		{"negative end", Process{Kind: Even, Rate: 1, CV: 0}, -1, "end"},
		{"endless", Process{Kind: Even, Rate: 1, CV: 0}, vtime.Never, "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			times, err := tt.process.Times(1, tt.end)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %d times and error %v, want an error about %q", len(times), err, tt.want)
			}
		})
	}
}

func FuzzTimes(f *testing.F) {
	f.Add("artifact", 1.5, 0.0, 6.0, uint64(1), int64(1320e9))
	f.Add("artifact", 0.6, 0.7, 6.0, uint64(1), int64(1140e9))
	f.Add("gamma", 0.2, 0.0, 6.0, uint64(2), int64(60e9))
	f.Add("poisson", math.Inf(1), 1.0, 0.0, uint64(3), int64(-1))
	f.Add("even", 1e-300, math.NaN(), math.NaN(), uint64(4), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, kind string, rate, later, cv float64, seed uint64, end int64) {
		if max(rate, later)*float64(end)/1e9 > 1e4 {
			t.Skip("long sequences only cost time here")
		}
		p := Process{Kind: Kind(kind), Rate: rate, CV: cv}
		if later != 0 {
			p.Rates = []float64{rate, later}
		}
		times, err := p.Times(seed, vtime.Time(end))
		if err != nil {
			return
		}
		if !slices.IsSorted(times) {
			t.Error("times run backwards")
		}
		if n := len(times); n > 0 && (times[0] < 0 || times[n-1] >= vtime.Time(end)) {
			t.Errorf("times leave [0, %d)", end)
		}
	})
}
