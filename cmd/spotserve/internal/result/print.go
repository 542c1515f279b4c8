package result

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// JSON prints r as one object.
func (r Result) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Text prints r as tables: what ran, latencies, counts and cost, the
// configuration timeline, and where the rest is.
func (r Result) Text(w io.Writer) error {
	var b strings.Builder
	r.head(&b)
	r.latencies(&b)
	r.counts(&b)
	r.configs(&b)
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "figure  %s\n", f)
	}
	fmt.Fprintf(&b, "store   %s\n", r.Store)
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Result) head(b *strings.Builder) {
	pace := fmt.Sprintf("time scale %g", r.TimeScale)
	if r.Virtual {
		pace = "virtual time"
	}
	fmt.Fprintf(b, "%s: %s%s, %s on %s, arrivals %s, quirks %s, seed %d, %s, %s\n",
		r.Run, r.called(), r.Approach, r.Model, r.Trace, r.Arrivals, r.Quirks, r.Seed, pace, r.Status)
	if r.LateFacts > 0 {
		fmt.Fprintf(b, "%d facts came late, so this run may differ from the virtual one; a lower --time-scale avoids that\n", r.LateFacts)
	}
	b.WriteByte('\n')
}

// called is the user's name for the run, with its point in a sweep.
func (r Result) called() string {
	var b strings.Builder
	if r.Name != "" {
		fmt.Fprintf(&b, "%s, ", r.Name)
	}
	for _, s := range r.Sweep {
		fmt.Fprintf(&b, "%s %s, ", s.Key, s.Value)
	}
	return b.String()
}

func (r Result) latencies(b *strings.Builder) {
	columns := []struct {
		name  string
		value float64
	}{
		{"avg", r.AvgS}, {"P50", r.P50S}, {"P90", r.P90S}, {"P95", r.P95S},
		{"P96", r.P96S}, {"P97", r.P97S}, {"P98", r.P98S}, {"P99", r.P99S},
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "latency in s\tn\t")
	for _, c := range columns {
		fmt.Fprintf(t, "%s\t", c.name)
	}
	fmt.Fprintf(t, "\n\t%d\t", r.Completed)
	for _, c := range columns {
		if r.Completed == 0 {
			fmt.Fprint(t, "-\t")
			continue
		}
		fmt.Fprintf(t, "%.2f\t", c.value)
	}
	fmt.Fprint(t, "\n\n")
	flush(t)
}

// flush writes a table to a strings.Builder, which takes everything.
func flush(t *tabwriter.Writer) { _ = t.Flush() }

func (r Result) counts(b *strings.Builder) {
	fmt.Fprintf(b, "requests       %d accepted = %d completed + %d unfinished at the end + %d lost; %d duplicated\n",
		r.Accepted, r.Completed, r.UnfinishedAtEnd, r.Lost, r.Duplicated)
	if r.Dropped > 0 {
		fmt.Fprintf(b, "               %d of the unfinished are what the artifact would have forgotten\n", r.Dropped)
	}
	fmt.Fprintf(b, "interruptions  %d, tokens recomputed %d\n", r.Interruptions, r.TokensRecomputed)
	if r.SLOP99S > 0 {
		fmt.Fprintf(b, "within SLO     %d of %d requests answered within %g s, %.2f %%\n",
			r.WithinSLO, r.Accepted, r.SLOP99S, 100*float64(r.WithinSLO)/float64(max(1, r.Accepted)))
	}
	fmt.Fprintf(b, "cost           %.2f USD, %.3g USD a token; node minutes: %.0f spot, %.0f on-demand\n\n",
		r.CostUSD, r.USDPerToken, r.SpotMinutes, r.OnDemandMinutes)
}

func (r Result) configs(b *strings.Builder) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "configuration at s\tDxPxM\tbatch limit\tnew devices\t\n")
	for _, c := range r.Configs {
		shape := fmt.Sprintf("%dx%dx%d", c.D, c.P, c.M)
		if c.D == 0 {
			shape = "none fits"
		}
		fmt.Fprintf(t, "%g\t%s\t%d\t%d\t\n", c.TS, shape, c.B, c.DevicesChanged)
	}
	fmt.Fprint(t, "\n")
	flush(t)
}
