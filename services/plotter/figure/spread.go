package figure

import "slices"

// Spread is what one point shows of a statistic over the seeds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// SpreadOf returns the spread of one value of each seed. The median of an even
// number of seeds is the mean of the middle two. There must be a seed.
func SpreadOf[T any](seeds []T, value func(T) float64) Spread {
	values := make([]float64, len(seeds))
	for i, s := range seeds {
		values[i] = value(s)
	}
	slices.Sort(values)
	n := len(values)
	return Spread{Min: values[0], Median: values[(n-1)/2]/2 + values[n/2]/2, Max: values[n-1]}
}

// errors are the ends of the spread, seen from the median.
func (s Spread) errors() (low, high float64) { return s.Min - s.Median, s.Max - s.Median }
