// Package measure measures a model on this machine, as workers would compute it:
// what a layer takes by batch and by tensor-parallel degree, a stage border, a
// start, a transfer. The planner plans with that, and the simulator simulates.
package measure

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/spotserve/spotserve/catalog"
	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/core/topology"
	"github.com/spotserve/spotserve/engine/checkpoint"
	"github.com/spotserve/spotserve/engine/llm"
	"github.com/spotserve/spotserve/engine/model"
)

// Options say what is measured.
type Options struct {
	Model    model.Source
	Location string // of Model, as the file is to name it
	// MaxBatch is the largest batch, a power of two: 1, 2, 4, ... are measured.
	MaxBatch int
	// MaxTensor is the largest tensor-parallel degree, a power of two: 1, 2, 4, ...
	MaxTensor    int
	PromptTokens int // of the prompts of prefill
	PrefillChunk int // most prompt tokens of one step
	Threads      int // of each device
	// Copies are how many pipelines compute at the same time: as many as share this
	// machine's cores in the run that is planned.
	Copies int
	// MemoryBytes is what a device is to have; 0: the whole model, the KV cache of
	// MaxBatch full contexts, and the usual buffer for context in transit.
	MemoryBytes int64
	// Say hears what is being measured; may be nil.
	Say func(format string, args ...any)
}

// decodeSteps is how many tokens a batch decodes for one number.
const decodeSteps = 16

// repeats of each measurement; the median counts. One more comes before them, and
// does not: caches are cold, and buffers have yet to grow.
const repeats = 5

// least is the shortest time, in milliseconds, that a profile states.
const least = 0.001

// Run measures. It takes seconds for small models.
func Run(ctx context.Context, o Options) (catalog.Measurement, error) {
	if err := o.check(); err != nil {
		return catalog.Measurement{}, err
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	c := o.Model.Config()
	m := &meter{Options: o, config: c}
	out := catalog.Measurement{
		Model:       c.Name,
		Transformer: experiment.TransformerModel{Shape: checkpoint.Shape(c), Weights: o.Location, PrefillChunk: o.PrefillChunk, Stop: stops(c)},
		EngineName:  "transformer-here",
		Profile: cost.Profile{
			Name: "cpu-" + c.Name, GPU: "cpu", PromptTokens: o.PromptTokens, FixFactor: 1, MaxTensor: o.MaxTensor,
		},
	}
	for batch := 1; batch <= o.MaxBatch; batch *= 2 {
		out.Profile.Embed = append(out.Profile.Embed, least) // the rows have embedding and head in them
	}
	for tensor := 1; tensor <= o.MaxTensor; tensor *= 2 {
		rows, err := m.rows(ctx, tensor)
		if err != nil {
			return out, err
		}
		out.Profile.Tensors = append(out.Profile.Tensors, cost.TensorProfile{Tensor: tensor, Rows: rows})
	}
	if err := m.border(ctx, &out.Profile); err != nil {
		return out, err
	}
	link, err := m.context(ctx, &out.Engine)
	if err != nil {
		return out, err
	}
	out.Engine.ExecutionScale, out.Engine.JitterSigma = 1, m.jitter()
	out.Instance = cost.InstanceType{
		Name: "this-machine", GPU: "cpu", GPUs: 1, GPUMemoryBytes: o.MemoryBytes, InterNodeBytesPerSecond: link, IntraNodeBytesPerSecond: link,
	}
	if o.MemoryBytes == 0 {
		out.Instance.GPUMemoryBytes = c.WeightBytes() + int64(o.MaxBatch)*int64(c.Context)*c.KVBytesPerToken() + cost.DefaultMigrationBuffer
	}
	out.Source = fmt.Sprintf("measured by spotserve profile on %s: cores %d, threads of a device %d, pipelines at a time %d; all devices in one process, over TCP on the loopback interface",
		time.Now().UTC().Format(time.DateOnly), runtime.GOMAXPROCS(0), o.Threads, o.Copies)
	return out, nil
}

// check refuses what cannot be measured.
func (o Options) check() error {
	c := o.Model.Config()
	powerOfTwo := func(n int) bool { return n > 0 && n&(n-1) == 0 }
	switch {
	case !powerOfTwo(o.MaxBatch):
		return fmt.Errorf("largest batch %d: allowed are powers of two", o.MaxBatch)
	case !powerOfTwo(o.MaxTensor) || o.MaxTensor > c.Leaves:
		return fmt.Errorf("largest tensor degree %d: allowed are powers of two up to %d, the leaves of model %s", o.MaxTensor, c.Leaves, c.Name)
	case o.PromptTokens < 1 || o.PromptTokens+decodeSteps > c.Context:
		return fmt.Errorf("prompts of %d tokens: allowed are 1 to %d, since model %s takes %d with the answer", o.PromptTokens, c.Context-decodeSteps, c.Name, c.Context)
	case o.PrefillChunk < 1 || o.Threads < 1 || o.Copies < 1:
		return fmt.Errorf("prefill chunks of %d tokens, %d threads, %d pipelines at a time: allowed are whole numbers from 1", o.PrefillChunk, o.Threads, o.Copies)
	}
	return nil
}

func stops(c model.Config) []int32 {
	var out []int32
	for _, token := range c.EOS {
		out = append(out, int32(token))
	}
	return out
}

// meter is a measurement under way.
type meter struct {
	Options
	config model.Config
	spread []float64 // of repeated batches, relative to their median
}

// layers is the number of layers, to divide by.
func (m *meter) layers() float64 { return float64(m.config.Layers) }

// rows measures the batches of a tensor-parallel degree, in milliseconds a layer.
func (m *meter) rows(ctx context.Context, tensor int) (rows []cost.PhaseLatency, err error) {
	err = m.on(ctx, topology.ParallelConfig{Data: m.Copies, Pipeline: 1, Tensor: tensor}, func(f *fleet, c topology.ParallelConfig) error {
		for batch := 1; batch <= m.MaxBatch; batch *= 2 {
			prefill, decode, err := m.batches(ctx, f, c, batch)
			if err != nil {
				return err
			}
			row := cost.PhaseLatency{Batch: batch, Prefill: max(least, prefill/m.layers()), Decode: max(least, decode/m.layers())}
			m.Say("tensor degree %d, batch %d: prefill %.4g ms, decode %.4g ms a layer", tensor, batch, row.Prefill, row.Decode)
			rows = append(rows, row)
		}
		return nil
	})
	return rows, err
}

// on runs do on a fleet in a configuration.
func (m *meter) on(ctx context.Context, c topology.ParallelConfig, do func(*fleet, topology.ParallelConfig) error) (err error) {
	f, err := newFleet(m.Model, c.Data*c.DevicesPerPipeline(), m.Threads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if _, err := f.reshape(ctx, c, 0, -1); err != nil {
		return err
	}
	return do(f, c)
}

// batches measures one batch size on all pipelines at once: prefill of the batch
// and one iteration of decoding, in milliseconds.
func (m *meter) batches(ctx context.Context, f *fleet, c topology.ParallelConfig, batch int) (prefill, decode float64, err error) {
	prefills := make([][]float64, c.Data)
	decodes := make([][]float64, c.Data)
	group, ctx := errgroup.WithContext(ctx)
	for d := range c.Data {
		group.Go(func() error {
			p := &pipeline{meter: m, fleet: f, leader: d * c.DevicesPerPipeline(), number: d, step: uint64(batch) << 32}
			for i := range 1 + repeats {
				prompts, err := p.prefill(ctx, batch)
				if err != nil {
					return err
				}
				iteration, err := p.decode(ctx)
				if err != nil {
					return err
				}
				if i > 0 {
					prefills[d], decodes[d] = append(prefills[d], prompts), append(decodes[d], iteration)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return 0, 0, err
	}
	all := slices.Concat(decodes...)
	decode = median(all)
	for _, took := range all {
		m.spread = append(m.spread, took/decode-1)
	}
	return median(slices.Concat(prefills...)), decode, nil
}

// pipeline is one that computes batches.
type pipeline struct {
	*meter
	*fleet
	leader, number int
	step           uint64
	running        []llm.Sequence
	ended          []event.RequestID
	next           []int32
	requests       uint64
}

// prefill begins a batch and returns how long its prompts took, in milliseconds.
// The batch before ends.
func (p *pipeline) prefill(ctx context.Context, batch int) (float64, error) {
	for _, s := range p.running {
		p.ended = append(p.ended, event.RequestID(s.ID))
	}
	p.running = nil
	for range batch {
		p.requests++
		prompt := make([]int32, p.PromptTokens)
		for i := range prompt {
			prompt[i] = int32((uint64(i)*7919 + p.requests*104729) % uint64(p.meter.config.Vocab))
		}
		p.running = append(p.running, llm.Sequence{ID: p.requests<<16 | uint64(p.number), Tokens: prompt})
	}
	p.next = p.next[:0]
	began := time.Now()
	for i, at := 0, 0; i < batch; {
		var step []llm.Sequence
		for room := p.PrefillChunk; room > 0 && i < batch; {
			whole := p.running[i]
			s := whole
			s.Start, s.Tokens = at, whole.Tokens[at:min(len(whole.Tokens), at+room)]
			room -= len(s.Tokens)
			if at += len(s.Tokens); at == len(whole.Tokens) {
				s.Sample = true
				i, at = i+1, 0
			}
			step = append(step, s)
		}
		tokens, err := p.compute(ctx, step)
		if err != nil {
			return 0, err
		}
		p.next = append(p.next, tokens...)
	}
	return milliseconds(time.Since(began)), nil
}

// decode goes on with the batch, and returns how long one iteration took, in
// milliseconds.
func (p *pipeline) decode(ctx context.Context) (float64, error) {
	began := time.Now()
	for i := range decodeSteps {
		step := make([]llm.Sequence, len(p.running))
		for k, s := range p.running {
			step[k] = llm.Sequence{ID: s.ID, Start: len(s.Tokens) + i, Tokens: []int32{p.next[k]}, Sample: true}
		}
		tokens, err := p.compute(ctx, step)
		if err != nil {
			return 0, err
		}
		copy(p.next, tokens)
	}
	return milliseconds(time.Since(began)) / decodeSteps, nil
}

func (p *pipeline) compute(ctx context.Context, batch []llm.Sequence) ([]int32, error) {
	p.step++
	tokens, err := p.fleet.step(ctx, p.leader, p.number, p.step, batch, p.ended)
	p.ended = nil
	return tokens, err
}

// border measures what a second stage adds to a batch of one.
func (m *meter) border(ctx context.Context, p *cost.Profile) error {
	p.PrefillComm, p.DecodeComm = least, least
	if m.config.Layers < 2 {
		return nil
	}
	return m.on(ctx, topology.ParallelConfig{Data: m.Copies, Pipeline: 2, Tensor: 1}, func(f *fleet, c topology.ParallelConfig) error {
		prefill, decode, err := m.batches(ctx, f, c, 1)
		if err != nil {
			return err
		}
		both := float64((m.config.Layers+1)/2) * 2
		row := p.Tensors[0].Rows[0]
		p.PrefillComm, p.DecodeComm = max(least, prefill-row.Prefill*both), max(least, decode-row.Decode*both)
		m.Say("a stage border: prefill %.4g ms, decode %.4g ms", p.PrefillComm, p.DecodeComm)
		return nil
	})
}

// context measures starts and transfers, and returns the bytes/s between two
// nodes.
func (m *meter) context(ctx context.Context, e *cost.EngineCosts) (link float64, err error) {
	began := time.Now()
	f, err := newFleet(m.Model, 2, m.Threads)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	e.DaemonRestart = time.Since(began) / 2
	whole := topology.ParallelConfig{Data: 1, Pipeline: 1, Tensor: 1}

	began = time.Now()
	if _, err := f.reshape(ctx, whole, 0, -1); err != nil {
		return 0, err
	}
	loaded := time.Since(began)

	began = time.Now()
	if _, err := f.reshape(ctx, whole, 0, 0); err != nil {
		return 0, err
	}
	e.EngineStart = time.Since(began)

	began = time.Now()
	moved, err := f.reshape(ctx, whole, 1, 0)
	if err != nil {
		return 0, err
	}
	if want := m.config.WeightBytes(); moved < want {
		return 0, fmt.Errorf("a node has %d bytes of %d from the other", moved, want)
	}
	link = rate(moved, time.Since(began)-e.EngineStart)
	e.DiskBytesPerSecond = rate(m.config.WeightBytes(), loaded-e.EngineStart)
	m.Say("start %.4g s, weights at %.4g GB/s, between nodes %.4g GB/s", e.EngineStart.Seconds(), e.DiskBytesPerSecond/1e9, link/1e9)
	return link, nil
}

// rate is bytes a second; a time too short to be measured counts as a
// millisecond.
func rate(bytes int64, in time.Duration) float64 {
	return float64(bytes) / max(in, time.Millisecond).Seconds()
}

// jitter is the deviation of a batch's time, a share of it: what the simulator
// draws.
func (m *meter) jitter() float64 {
	const most = 0.15 // what the catalogue allows, with a margin
	sum := 0.0
	for _, s := range m.spread {
		sum += s * s
	}
	return min(most, math.Sqrt(sum/float64(len(m.spread))))
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
