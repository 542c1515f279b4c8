package collector

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/vtime"
	"github.com/spotserve/spotserve/platform/store"
)

// The states of a run in the store, and the versions of its row: a later one
// replaces an earlier one.
const (
	StatusQueued   = "queued"
	StatusRunning  = "running"
	StatusFinished = "finished"
	StatusStopped  = "stopped"
	StatusRefused  = "refused"

	versionQueued  = 1
	versionRunning = 2
	versionEnded   = 3
)

// Mapper turns facts into rows. A virtual run's log goes through the same
// mapper as the bus, so both leave the same rows. It remembers the row of each
// run in progress and nothing else.
type Mapper struct {
	runs map[string]store.Run
}

// NewMapper returns a mapper that knows no run.
func NewMapper() *Mapper { return &Mapper{runs: make(map[string]store.Run)} }

// Knows reports whether a run is in progress, and the mapper has taken its
// beginning.
func (m *Mapper) Knows(run string) bool {
	_, ok := m.runs[run]
	return ok
}

// Take adds the rows of an event of a run to b. at is the wall time at which it
// was published.
func (m *Mapper) Take(ev event.Event, at time.Time, b *store.Batch) {
	switch body := ev.Body.(type) {
	case event.RunStarted:
		r := runRow(ev.Run, body.Spec, at)
		m.runs[ev.Run] = r
		b.Runs = append(b.Runs, r)
	case event.RunFinished:
		b.Runs = append(b.Runs, m.finished(ev, body))
		delete(m.runs, ev.Run)
	case event.ConfigChosen:
		b.Configs = append(b.Configs, configRow(ev, body))
	case event.MigrationPlanned:
		b.Moves = append(b.Moves, migrationRow(ev, body))
	case event.RequestCompleted:
		b.Requests = append(b.Requests, requestRow(ev.Run, body.Record, "completed"))
		if body.Output != nil {
			b.Outputs = append(b.Outputs, outputRow(ev.Run, body))
		}
	case event.RequestUnfinished:
		b.Requests = append(b.Requests, requestRow(ev.Run, body.Record, "unfinished"))
	case event.RequestRefused:
		b.Requests = append(b.Requests, store.RequestLatency{
			Run: ev.Run, Request: uint64(body.Request), ArrivedMS: ev.Time.Milliseconds(), Pipeline: -1, Status: "refused",
		})
	case event.NodeTimeAccounted:
		b.Nodes = append(b.Nodes, store.NodeTime{
			Run: ev.Run, Node: body.Node, Market: string(body.Market),
			FromMS: body.From.Milliseconds(), ToMS: body.To.Milliseconds(), USD: body.USD,
		})
	default:
		b.Fleet = append(b.Fleet, fleetRows(ev)...)
	}
}

// TakeControl adds the row of a run that was accepted or of a start that was
// refused.
func (m *Mapper) TakeControl(body event.Body, at time.Time, b *store.Batch) {
	switch body := body.(type) {
	case event.ExperimentAccepted:
		kind, _, _ := strings.Cut(body.Run, "-")
		b.Runs = append(b.Runs, store.Run{
			Run: body.Run, Kind: kind, Status: StatusQueued, StartedUnixMS: at.UnixMilli(), Version: versionQueued,
		})
	case event.ExperimentRefused:
		run := fmt.Sprintf("start-%d", body.StartSeq)
		kind := ""
		if body.Run != "" {
			run = body.Run // it has a row already
			kind, _, _ = strings.Cut(run, "-")
		}
		b.Runs = append(b.Runs, store.Run{
			Run: run, Kind: kind, Status: StatusRefused, Reason: body.Reason,
			StartedUnixMS: at.UnixMilli(), Version: versionEnded,
		})
	}
}

func runRow(run string, s experiment.Spec, at time.Time) store.Run {
	return store.Run{
		Run: run, Kind: string(s.Kind), Name: s.Name, Approach: string(s.Approach), Model: s.Model.Name, Trace: s.Trace,
		Level: s.Level, Arrivals: s.Arrivals, Quirks: string(s.Quirks), Seed: s.Seed, TimeScale: s.TimeScale,
		Virtual: s.Virtual, Status: StatusRunning, StartedUnixMS: at.UnixMilli(), DurationMS: s.End.Milliseconds(),
		Settings: settings(s), Version: versionRunning,
	}
}

func (m *Mapper) finished(ev event.Event, f event.RunFinished) store.Run {
	r := m.runs[ev.Run]
	r.Run, r.Status, r.Version = ev.Run, StatusFinished, versionEnded
	if f.Reason == event.Stopped {
		r.Status = StatusStopped
	}
	r.DurationMS = ev.Time.Milliseconds()
	r.Accepted, r.Completed, r.UnfinishedAtEnd, r.Refused = f.Accepted, f.Completed, f.UnfinishedAtEnd, f.Refused
	r.Lost, r.Duplicated, r.Dropped, r.LateFacts = f.Lost, f.Duplicated, f.Dropped, f.LateFacts
	r.Interruptions, r.TokensRecomputed, r.CostUSD = f.Interruptions, f.TokensRecomputed, f.CostUSD
	if f.TokensServed > 0 {
		r.USDPerToken = f.CostUSD / float64(f.TokensServed)
	}
	return r
}

// Abandon adds the row of a run in progress that ends without RunFinished: it is
// stopped, for the reason why. Its counts are unknown.
func (m *Mapper) Abandon(run, why string, b *store.Batch) {
	r, known := m.runs[run]
	if !known {
		return
	}
	r.Status, r.Reason, r.Version = StatusStopped, why, versionEnded
	b.Runs = append(b.Runs, r)
	delete(m.runs, run)
}

// settings is what else makes runs comparable, as JSON with fixed key order.
// What only experiments of a user's own set is left out where it is not set.
func settings(s experiment.Spec) string {
	text, err := json.Marshal(struct {
		GraceS             float64 `json:"grace_s"`
		ArrivalRate        float64 `json:"arrival_rate_rps"`
		RequiredThroughput float64 `json:"required_throughput_rps"`
		BatchLimit         int     `json:"batch_limit"`
		Batching           string  `json:"batching"`
		PoolDepth          int     `json:"pool_depth"`
		PromptTokens       int     `json:"prompt_tokens"`
		OutputTokens       int     `json:"output_tokens"`
		CommitInterval     int     `json:"commit_interval_tokens"`
		Drain              bool    `json:"drain"`
		RateWindowS        float64 `json:"rate_window_s"`
		Headroom           float64 `json:"headroom"`
		MigrationBuffer    int64   `json:"migration_buffer_bytes"`
		Instance           string  `json:"instance"`
		Profile            string  `json:"profile"`
		Costs              string  `json:"costs"`

		LongestPrompt int        `json:"longest_prompt_tokens,omitempty"`
		LongestOutput int        `json:"longest_output_tokens,omitempty"`
		Objective     string     `json:"objective,omitempty"`
		SLOP99S       float64    `json:"slo_p99_s,omitempty"`
		Provision     *provision `json:"provision,omitempty"`
		Transformer   string     `json:"transformer,omitempty"`
		Sweep         sweepPoint `json:"sweep,omitempty"`
	}{
		s.Grace.Seconds(), s.ArrivalRate, s.RequiredThroughput, s.BatchLimit, string(s.Batching), s.PoolDepth,
		s.PromptTokens, s.OutputTokens, s.CommitInterval, s.Drain,
		s.RateWindow.Seconds(), s.Headroom, s.MigrationBuffer, s.Instance.Name,
		s.Profile.Name + "#" + digest(s.Model, s.Profile), digest(s.Instance, s.Engine, s.Delays),
		beyond(s.LongestPrompt, s.PromptTokens), beyond(s.LongestOutput, s.OutputTokens),
		objective(s.Objective), s.SLOP99.Seconds(), provisioning(s), transformer(s), s.Sweep,
	})
	if err != nil {
		// Only NaN or infinity could do this, and the catalogue refuses them.
		return fmt.Sprintf("%+v", s)
	}
	return string(text)
}

// beyond is the longest length of a run's requests, or 0 if they have one.
func beyond(longest, usual int) int {
	if longest <= usual {
		return 0
	}
	return longest
}

// objective is "" for the one that a spec need not name.
func objective(o experiment.Objective) string {
	if o == experiment.MinLatency {
		return ""
	}
	return string(o)
}

// provision is how a closed loop gets its fleet.
type provision struct {
	Mode           string  `json:"mode"`
	MaxInstances   int     `json:"max_instances"`
	CandidatePool  int     `json:"candidate_pool"`
	OnDemand       bool    `json:"on_demand"`
	SpotStartS     float64 `json:"spot_start_s"`
	OnDemandStartS float64 `json:"on_demand_start_s"`
}

// provisioning is nil where the trace hands the instances out.
func provisioning(s experiment.Spec) *provision {
	if s.Provision != experiment.ClosedLoop {
		return nil
	}
	p := s.Provisioning
	return &provision{
		string(s.Provision), p.MaxInstances, p.CandidatePool, p.OnDemand, p.SpotStart.Seconds(), p.OnDemandStart.Seconds(),
	}
}

// transformer names what tokens are computed with, "" where none are.
func transformer(s experiment.Spec) string {
	if !s.Measured() || s.Transformer == nil {
		return ""
	}
	return s.Transformer.Weights + "#" + digest(*s.Transformer)
}

// sweepPoint is the point of a sweep.
type sweepPoint []experiment.SweepValue

// MarshalJSON writes an object in the order of the sweep's keys, which a map
// would lose.
func (p sweepPoint) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, v := range p {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := json.Marshal(v.Key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(v.Value)
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, key...), ':'), value...)
	}
	return append(b, '}'), nil
}

// digest names values by their content.
func digest(values ...any) string {
	h := fnv.New32a()
	for _, v := range values {
		fmt.Fprintf(h, "%+v;", v)
	}
	return fmt.Sprintf("%08x", h.Sum32())
}

func configRow(ev event.Event, c event.ConfigChosen) store.ConfigChange {
	runnersUp := make([]runnerUp, len(c.RunnersUp))
	for i, r := range c.RunnersUp {
		runnersUp[i] = runnerUp{r.Config.String(), r.Config.Batch, r.Latency.Seconds(), r.Throughput}
	}
	text, err := json.Marshal(runnersUp)
	if err != nil {
		// Only NaN or infinity could do this, and a latency is neither.
		text = fmt.Appendf(nil, "%+v", runnersUp)
	}
	return store.ConfigChange{
		Run: ev.Run, Epoch: c.Epoch.String(), AtMS: ev.Time.Milliseconds(), ChangeMS: c.ChangeAt.Milliseconds(),
		D: c.Config.Data, P: c.Config.Pipeline, M: c.Config.Tensor, B: c.BatchLimit,
		DevicesChanged: c.DevicesChanged, GPUs: c.GPUs, LatencyMS: float64(c.Chosen.Latency) / 1e6,
		Throughput: c.Chosen.Throughput, Why: c.Why, RunnersUp: string(text),
	}
}

// runnerUp is an alternative in column runners_up.
type runnerUp struct {
	Config     string  `json:"config"`
	Batch      int     `json:"batch"`
	LatencyS   float64 `json:"latency_s"`
	Throughput float64 `json:"throughput_rps"`
}

func migrationRow(ev event.Event, p event.MigrationPlanned) store.Migration {
	return store.Migration{
		Run: ev.Run, Epoch: p.Epoch.String(), BeginMS: p.Begin.Milliseconds(), ReadyMS: p.ReadyAt.Milliseconds(),
		DeadlineMS: ms(p.Deadline), EstimateMS: float64(p.Estimate) / 1e6, Steps: p.Steps,
		ModelBytes: p.ModelBytes, CacheBytes: p.CacheBytes, DiskBytes: p.DiskBytes,
		InterNodeBytes: p.InterNodeBytes, BusiestNodeBytes: p.BusiestNodeBytes,
		ResumedRequests: p.ResumedRequests, RequeuedRequests: p.RequeuedRequests,
	}
}

// outputRow is the answer to a request.
func outputRow(run string, c event.RequestCompleted) store.RequestOutput {
	tokens, err := json.Marshal(c.Output)
	if err != nil { // whole numbers can always be written
		tokens = []byte("[]")
	}
	return store.RequestOutput{Run: run, Request: uint64(c.Record.Request), Name: c.Name, Tokens: string(tokens), Text: c.Text}
}

func requestRow(run string, r event.RequestRecord, status string) store.RequestLatency {
	row := store.RequestLatency{
		Run: run, Request: uint64(r.Request), ArrivedMS: r.Arrived.Milliseconds(),
		StartedMS: ms(r.Started), FinishedMS: ms(r.Finished), ComputeMS: float64(r.Compute) / 1e6,
		TokensIn: r.PromptTokens, TokensOut: r.OutputTokens, CommittedCarried: r.Committed,
		TokensRecomputed: r.Recomputed, Interruptions: r.Interrupted, Pipeline: r.Pipeline,
		Config: r.Config.String(), Status: status,
	}
	if row.FinishedMS != nil {
		latency := r.Finished.Sub(r.Arrived)
		value := float64(latency) / 1e6
		row.LatencyMS = &value
		row.QueueMS = float64(latency-r.Compute) / 1e6
	}
	return row
}

func fleetRows(ev event.Event) []store.FleetEvent {
	row := func(node, market string, due *float64) store.FleetEvent {
		return store.FleetEvent{
			Run: ev.Run, Seq: fleetSeq(ev), Node: node, Event: string(ev.Body.Kind()), Market: market,
			AtMS: ev.Time.Milliseconds(), DueMS: due,
		}
	}
	var out []store.FleetEvent
	switch b := ev.Body.(type) {
	case event.SpotCapacityOffered:
		for _, n := range b.Nodes {
			out = append(out, row(n, string(cost.Spot), nil))
		}
	case event.SpotCapacityWithdrawn:
		for _, n := range b.Nodes {
			out = append(out, row(n, string(cost.Spot), ms(b.Deadline)))
		}
	case event.InstanceLaunched:
		for _, i := range b.Instances {
			out = append(out, row(i.Node, string(i.Market), ms(b.ReadyAt)))
		}
	case event.AcquisitionNoticed:
		for _, i := range b.Instances {
			out = append(out, row(i.Node, string(i.Market), ms(b.ReadyAt)))
		}
	case event.InstanceAcquired:
		for _, i := range b.Instances {
			out = append(out, row(i.Node, string(i.Market), nil))
		}
	case event.PreemptionNoticed:
		for _, n := range b.Nodes {
			out = append(out, row(n, "", ms(b.Deadline)))
		}
	case event.InstanceLost:
		for _, n := range b.Nodes {
			gone := row(n, "", nil)
			if b.Released {
				gone.Event = "instance_released"
			}
			out = append(out, gone)
		}
	case event.PreemptionCancelled:
		for _, n := range b.Nodes {
			out = append(out, row(n, "", nil))
		}
	case event.RebalanceRecommended:
		for _, n := range b.Nodes {
			out = append(out, row(n, "", nil))
		}
	}
	return out
}

// fleetSeq keeps the numbers of the sources that speak of the fleet apart: the
// replayer's are as they are, those of notice sources are wall times, which no
// count comes near.
func fleetSeq(ev event.Event) uint64 {
	const billion = 1_000_000_000 // more events than a run has
	switch ev.Source {
	case event.SourceCloud:
		return ev.Seq + billion
	case event.SourcePlanner:
		return ev.Seq + 2*billion
	}
	return ev.Seq
}

// ms is an instant in milliseconds; nil for never.
func ms(t vtime.Time) *float64 {
	if t == vtime.Never {
		return nil
	}
	v := t.Milliseconds()
	return &v
}
