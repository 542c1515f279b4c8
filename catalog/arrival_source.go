package catalog

import (
	"fmt"
	"math"
	"slices"

	"github.com/spotserve/spotserve/core/arrival"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/lengths"
	"github.com/spotserve/spotserve/core/vtime"
)

// rescaleFile says which part of an arrivals file is played, and how fast.
type rescaleFile struct {
	OffsetS float64 `yaml:"offset_s,omitempty"` // skip the requests before it
	Limit   int     `yaml:"limit,omitempty"`    // most requests
	RateRPS float64 `yaml:"rate_rps,omitempty"` // their mean rate
	Time    float64 `yaml:"time,omitempty"`     // or: the factor of all times
}

// arrivalsPart is the requests that a run gets.
type arrivalsPart struct {
	source  string
	rate    float64 // mean until the end, requests/s
	prompts tokenPlan
	outputs tokenPlan
	list    []experiment.Arrival
	process arrival.Process
	asked   []prompt // what the requests ask in turn; nil: nobody says
}

// tokenPlan is what is known of the lengths of all prompts or of all answers.
type tokenPlan struct {
	drawn   lengths.Distribution // Kind is empty where a file brings them
	mean    int                  // rounded
	longest int
}

// planned is the plan of a distribution.
func planned(d lengths.Distribution) tokenPlan {
	return tokenPlan{drawn: d, mean: max(1, int(math.Round(d.Average()))), longest: d.Longest()}
}

// bound is the most tokens of a request where they differ, 0 where they do not.
func (p tokenPlan) bound() int {
	if p.longest == p.mean {
		return 0
	}
	return p.longest
}

// counted is the plan of lengths that a file brought.
func counted(all []experiment.Arrival, tokens func(experiment.Arrival) int) tokenPlan {
	var p tokenPlan
	sum := 0
	for _, a := range all {
		sum += tokens(a)
		p.longest = max(p.longest, tokens(a))
	}
	p.mean = max(1, int(math.Round(float64(sum)/float64(len(all)))))
	return p
}

// Lengths of requests where nothing says them: those of the published
// experiments.
var (
	usualPrompt = tokenSource{lengths.Distribution{Kind: lengths.Fixed, Tokens: 512}}
	usualOutput = tokenSource{lengths.Distribution{Kind: lengths.Fixed, Tokens: 128}}
)

// planArrivals settles what the planner has to know of the requests, without
// making all of them.
func (s *settler) planArrivals() {
	const key = "arrivals"
	c, a := s.doc.part(key), &s.file.Arrivals
	has := func(k string) bool { return s.doc.has(join(key, k)) }
	if has("file") && !has("kind") {
		a.Kind = arrivalsFromFile
	}
	if !slices.Contains(ArrivalKinds(), a.Kind) {
		c.requireAt("kind", false, "%v", refuseUnknown("arrivals kind", a.Kind, ArrivalKinds()))
		return
	}
	prompt, output := usualPrompt, usualOutput
	if has("prompt_tokens") {
		prompt = a.PromptTokens
	}
	if has("output_tokens") {
		output = a.OutputTokens
	}
	prompt.check(c, "prompt_tokens")
	output.check(c, "output_tokens")
	if len(s.doc.errs) > 0 {
		return
	}
	s.arrivals.prompts, s.arrivals.outputs = planned(prompt.Distribution), planned(output.Distribution)
	if s.arrivals.asked != nil {
		c.holds("prompt_tokens", !has("prompt_tokens"), "is not used: transformer.prompts says it")
		c.holds("file", !has("file"), "and transformer.prompts are both given")
		s.arrivals.prompts = plannedPrompts(s.arrivals.asked)
	}
	if a.Kind == arrivalsFromFile {
		s.planFile(c, has)
	} else {
		s.planProcess(c, has)
	}
	if len(s.doc.errs) == 0 {
		s.planThroughput()
	}
}

// planThroughput settles what the configuration has to sustain.
func (s *settler) planThroughput() {
	c, f := s.doc.part(""), &s.file
	given := s.doc.has("required_throughput_rps")
	switch {
	case !given:
		f.RequiredThroughputRPS = s.arrivals.rate * f.Headroom
	case !s.doc.has("headroom"):
		f.Headroom = f.RequiredThroughputRPS / s.arrivals.rate
	}
	c.positive("required_throughput_rps", f.RequiredThroughputRPS, maxThroughput)
}

// planProcess checks arrivals that are generated.
func (s *settler) planProcess(c *checker, has func(string) bool) {
	a, end := s.file.Arrivals, s.trace.fleet.End
	for _, k := range []string{"file", "rescale"} {
		c.holds(k, !has(k), "is a key of kind file, not of kind %s", a.Kind)
	}
	switch {
	case has("rate_rps") && has("rates_rps"):
		c.holds("rates_rps", false, "and rate_rps are both given")
	case has("rates_rps"):
		c.holds("rates_rps", len(a.RatesRPS) > 0, "is empty")
	default:
		c.holds("rate_rps", has("rate_rps"), "is missing: requests/s")
	}
	if len(s.doc.errs) > 0 {
		return
	}
	if has("rate_rps") {
		c.positive("rate_rps", a.RateRPS, maxThroughput)
	}
	for i, rate := range a.RatesRPS {
		c.positive(fmt.Sprintf("rates_rps[%d]", i), rate, maxThroughput)
	}
	kind := arrival.Kind(a.Kind)
	c.holds("cv", !has("cv") || kind == arrival.Artifact || kind == arrival.Gamma, "is not used by kind %s", a.Kind)
	c.positive("cv", a.CV, maxCV)
	if len(s.doc.errs) > 0 {
		return
	}
	p := arrival.Process{Kind: kind, Rate: a.RateRPS, Rates: a.RatesRPS, CV: a.CV}
	if err := p.Check(end); err != nil {
		c.require(false, "%v", err)
		return
	}
	s.arrivals.process, s.arrivals.rate, s.arrivals.source = p, p.Mean(end), "generated"
}

// planFile checks arrivals from a file and takes those that are played.
func (s *settler) planFile(c *checker, has func(string) bool) {
	a := s.file.Arrivals
	for _, k := range []string{"rate_rps", "rates_rps", "cv"} {
		c.holds(k, !has(k), "is not used by kind file; rescale: {rate_rps: ...} changes its rate")
	}
	c.holds("file", has("file"), "is missing: kind file needs the path of one")
	var by rescaleFile
	if a.Rescale != nil {
		by = *a.Rescale
		c.notNegative("rescale.offset_s", by.OffsetS, maxTrace.Seconds())
		c.holds("rescale.limit", !has("rescale.limit") || by.Limit > 0, "is %d, allowed is 1 and above", by.Limit)
		c.holds("rescale.time", !has("rescale.time") || !has("rescale.rate_rps"), "and rescale.rate_rps are both given")
		if has("rescale.time") {
			c.positive("rescale.time", by.Time, maxScale)
		}
		if has("rescale.rate_rps") {
			c.positive("rescale.rate_rps", by.RateRPS, maxThroughput)
		}
	}
	if len(s.doc.errs) > 0 {
		return
	}
	path, ok := s.path("arrivals.file", a.File)
	if !ok {
		return
	}
	recorded, err := s.files.arrivals(path)
	if err != nil {
		s.noteFile("arrivals.file", err)
		return
	}
	c.holds("prompt_tokens", !has("prompt_tokens"), "is not used by kind file: the file says it")
	c.holds("output_tokens", !has("output_tokens") || !recorded.outputs, "is not used: the file says it")
	if err := s.arrivals.take(path, recorded, by, s.trace.fleet.End); err != nil {
		s.noteFile("arrivals.file", err)
	}
}

// take plays recorded arrivals.
func (p *arrivalsPart) take(path string, recorded recorded, by rescaleFile, end vtime.Time) error {
	list, err := by.play(recorded.list, end)
	if err != nil {
		return &FileError{File: path, Reason: err.Error()}
	}
	p.list, p.source = list, path
	p.rate = float64(len(list)) / end.Seconds()
	p.prompts = counted(list, func(a experiment.Arrival) int { return a.PromptTokens })
	if recorded.outputs {
		p.outputs = counted(list, func(a experiment.Arrival) int { return a.OutputTokens })
	}
	return nil
}

// play is the part of recorded arrivals that a run until end gets, at its times.
// The list is the caller's own.
func (r rescaleFile) play(all []experiment.Arrival, end vtime.Time) ([]experiment.Arrival, error) {
	offset := vtime.Seconds(r.OffsetS)
	from, _ := slices.BinarySearchFunc(all, offset, func(a experiment.Arrival, at vtime.Time) int { return int(a.At.Sub(at)) })
	if all = all[from:]; len(all) == 0 {
		return nil, fmt.Errorf("no request arrives from offset_s %v on", r.OffsetS)
	}
	if r.Limit > 0 {
		all = all[:min(len(all), r.Limit)]
	}
	factor := 1.0
	switch {
	case r.Time > 0:
		factor = r.Time
	case r.RateRPS > 0:
		span := all[len(all)-1].At.Sub(offset).Seconds()
		if span == 0 {
			return nil, fmt.Errorf("all requests arrive at one instant, so that they have no rate to change")
		}
		factor = float64(len(all)) / span / r.RateRPS
	}
	list := make([]experiment.Arrival, 0, len(all))
	for _, a := range all {
		at := float64(a.At.Sub(offset))
		if factor != 1 {
			at = math.Round(at * factor)
		}
		if at >= float64(end) {
			break
		}
		a.At = vtime.Time(at)
		list = append(list, a)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no request arrives before the trace's end at %v", end)
	}
	return list, nil
}

// loadArrivals makes the requests.
func (r *resolved) loadArrivals() error {
	a := &r.arrivals
	if r.file.Arrivals.Kind != arrivalsFromFile {
		times, err := a.process.Times(r.file.Seed, r.trace.fleet.End)
		if err != nil {
			return err
		}
		a.list = make([]experiment.Arrival, len(times))
		for i, at := range times {
			a.list[i].At = at
		}
	}
	if a.prompts.drawn.Kind != "" {
		s := lengths.NewSampler(a.prompts.drawn, r.file.Seed, "prompt tokens")
		for i := range a.list {
			a.list[i].PromptTokens = s.Tokens(uint64(i))
		}
	}
	if a.outputs.drawn.Kind != "" {
		s := lengths.NewSampler(a.outputs.drawn, r.file.Seed, "output tokens")
		for i := range a.list {
			a.list[i].OutputTokens = s.Tokens(uint64(i))
		}
	}
	a.ask()
	return nil
}

// ask gives the requests their prompts, in turn.
func (p *arrivalsPart) ask() {
	for i := range p.list {
		if len(p.asked) == 0 {
			return
		}
		asked, a := p.asked[i%len(p.asked)], &p.list[i]
		a.PromptTokens, a.Prompt = asked.bound(), &experiment.Prompt{Text: asked.text, Tokens: asked.tokens}
		if asked.maxTokens > 0 {
			a.OutputTokens = min(a.OutputTokens, asked.maxTokens)
		}
	}
}
