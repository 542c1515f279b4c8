package vtime_test

import (
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/vtime"
)

func TestSecondsRoundToTheNearestNanosecond(t *testing.T) {
	for _, tt := range []struct {
		seconds float64
		want    vtime.Time
	}{
		{0, 0},
		{24.37, 24_370_000_000},
		{1e-9, 1},
		{0.4e-9, 0},
		{0.5e-9, 1},
		{-1.5, -1_500_000_000},
		// 4.35*1e9 is 4349999999.9999995 in floating point.
		{4.35, 4_350_000_000},
	} {
		if got := vtime.Seconds(tt.seconds); got != tt.want {
			t.Errorf("Seconds(%v) = %d ns, want %d", tt.seconds, got, tt.want)
		}
		if got := vtime.Duration(tt.seconds); got != time.Duration(tt.want) {
			t.Errorf("Duration(%v) = %d ns, want %d", tt.seconds, got, tt.want)
		}
	}
}

func TestArithmetic(t *testing.T) {
	at := vtime.Seconds(90.5)
	if got := at.Add(-30 * time.Second); got != vtime.Seconds(60.5) {
		t.Errorf("Add: %s", got)
	}
	if got := at.Sub(vtime.Seconds(100)); got != -9500*time.Millisecond {
		t.Errorf("Sub: %s", got)
	}
	if got := at.Seconds(); got != 90.5 {
		t.Errorf("Seconds: %v", got)
	}
	if got := at.Milliseconds(); got != 90_500 {
		t.Errorf("Milliseconds: %v", got)
	}
}

func TestNeverStaysNever(t *testing.T) {
	for _, d := range []time.Duration{-time.Hour, 0, time.Hour} {
		if got := vtime.Never.Add(d); got != vtime.Never {
			t.Errorf("Never.Add(%s) = %s", d, got)
		}
	}
}

func TestString(t *testing.T) {
	for at, want := range map[vtime.Time]string{
		0:                    "0.000s",
		vtime.Seconds(24.37): "24.370s",
		1:                    "0.000s",
		vtime.Never:          "never",
	} {
		if got := at.String(); got != want {
			t.Errorf("%d ns prints %q, want %q", int64(at), got, want)
		}
	}
}
