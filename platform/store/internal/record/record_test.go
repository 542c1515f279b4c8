package record_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/spotserve/spotserve/platform/store/internal/record"
)

func TestSnake(t *testing.T) {
	for name, want := range map[string]string{
		"Run": "run", "D": "d", "GPUs": "gpus", "ArrivedMS": "arrived_ms", "TokensIn": "tokens_in",
		"USDPerToken": "usd_per_token", "CostUSD": "cost_usd", "StartedUnixMS": "started_unix_ms",
		"UnfinishedAtEnd": "unfinished_at_end", "P50": "p50", "InterNodeBytes": "inter_node_bytes",
	} {
		if got := record.Snake(name); got != want {
			t.Errorf("Snake(%q) = %q, want %q", name, got, want)
		}
	}
}

type sample struct {
	Name  string
	Seed  uint64
	Count int
	Bytes int64
	Yes   bool
	At    float64
	Due   *float64
}

func TestAppendAndSetAreInverse(t *testing.T) {
	due := 2.5
	for _, in := range []sample{
		{},
		{Name: "a", Seed: math.MaxUint64, Count: -3, Bytes: math.MinInt64, Yes: true, At: 1.25, Due: &due},
	} {
		values := record.Append(nil, reflect.ValueOf(in))
		var out sample
		v := reflect.ValueOf(&out).Elem()
		for i, value := range values {
			if err := record.Set(v.Field(i), value); err != nil {
				t.Fatalf("field %d: %v", i, err)
			}
		}
		if !reflect.DeepEqual(in, out) {
			t.Errorf("got %+v, want %+v", out, in)
		}
	}
}

func TestSetRefusesOtherTypes(t *testing.T) {
	var s sample
	v := reflect.ValueOf(&s).Elem()
	for _, c := range []struct {
		field string
		value any
	}{
		{"Name", int64(1)}, {"Count", "x"}, {"Count", 1.5}, {"At", "x"}, {"At", int64(math.MaxInt64)},
		{"At", int64(math.MinInt64)}, {"Due", "x"}, {"Yes", 1.0}, {"Seed", true},
	} {
		if err := record.Set(v.FieldByName(c.field), c.value); err == nil {
			t.Errorf("Set(%s, %v): no error", c.field, c.value)
		}
	}
}
