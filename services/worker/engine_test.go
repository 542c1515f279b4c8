package worker

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/spotserve/spotserve/core/cost"
	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/core/experiment"
	"github.com/spotserve/spotserve/engine/kernel"
	"github.com/spotserve/spotserve/platform/actor"
	"github.com/spotserve/spotserve/platform/bus/membus"
	"github.com/spotserve/spotserve/services/worker/internal/book"
)

func TestEngineOptionsAreChecked(t *testing.T) {
	one, two := []string{"a"}, []string{"a", "b"}
	for _, c := range []struct {
		o     EngineOptions
		nodes []string
		want  string
	}{
		{EngineOptions{}, []string{AllNodes}, ""},
		{EngineOptions{Listen: "127.0.0.1:7000"}, one, ""},
		{EngineOptions{Listen: "127.0.0.1:7000"}, two, "port 0"},
		{EngineOptions{Listen: "127.0.0.1:7000"}, []string{AllNodes}, "port 0"},
		{EngineOptions{Listen: "7000"}, one, "host:port"},
		{EngineOptions{Listen: ":7000"}, one, "has to be named"},
		{EngineOptions{Listen: "0.0.0.0:7000"}, one, "has to be named"},
		{EngineOptions{Listen: "[::]:7000", Advertise: "node-1"}, one, ""},
		{EngineOptions{Memory: -1}, one, "positive"},
	} {
		if err := c.o.check(c.nodes); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v for %v: %v, want %q", c.o, c.nodes, err, c.want)
		}
	}
}

func TestAdvertised(t *testing.T) {
	for _, c := range [][3]string{
		{"", "127.0.0.1:41", "127.0.0.1:41"},
		{"node-1.example", "[::]:41", "node-1.example:41"},
		{"node-1.example:5", "[::]:41", "node-1.example:5"},
		{"[fe80::1]", "[::]:41", "[fe80::1]:41"},
		{"fe80::1", "[::]:41", "[fe80::1]:41"},
	} {
		if got, err := (EngineOptions{Advertise: c[0]}).advertised(c[1]); err != nil || got != c[2] {
			t.Errorf("%q at %q: %q, %v, want %q", c[0], c[1], got, err, c[2])
		}
	}
}

func TestEngineFlags(t *testing.T) {
	var o EngineOptions
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.AddFlags(fs)
	if err := fs.Parse([]string{"--memory-gib", "1.5", "--kernels", "generic", "--threads", "3", "--spin", "50us", "--models", "/m", "--data-listen", "h:1", "--data-advertise", "x"}); err != nil {
		t.Fatal(err)
	}
	want := EngineOptions{
		Listen: "h:1", Advertise: "x", Memory: 3 << 29, Models: "/m", Kernels: kernel.Options{Level: kernel.Generic, Threads: 3, Wait: kernel.Spin},
	}
	if o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
	for _, args := range [][]string{{"--memory-gib", "-1"}, {"--memory-gib", "many"}, {"--kernels", "sse2"}} {
		if err := fs.Parse(args); err == nil || !strings.Contains(err.Error(), args[1]) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// shape is of a model that takes no time.
var shape = experiment.Shape{
	Layers: 2, Hidden: 16, Heads: 4, KVHeads: 2, HeadDim: 4, FFN: 16, Vocab: 32, Context: 32, NormEps: 1e-5,
	Rope: experiment.Rope{Theta: 10000}, DType: "f32", Leaves: 2, BOS: -1,
}

func started(weights string) actor.Started {
	return actor.Started{Run: "custom-1", Start: event.RunStarted{Spec: experiment.Spec{
		Model: cost.Model{Name: "m"}, Compute: experiment.Transformer, Transformer: &experiment.TransformerModel{Shape: shape, Weights: weights},
	}}}
}

// TestEngineOpens: it has an address that others find, and none after its end.
func TestEngineOpens(t *testing.T) {
	b := membus.New(membus.Options{})
	defer b.Close()
	s := &service{Options: Options{Bus: b}}
	e, err := s.openEngine(t.Context(), started("synthetic:1"), "node-1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if address, err := book.New(b).Get(t.Context(), "node-1"); err != nil || address != e.Address() {
		t.Errorf("its address is %q, %v, it listens at %q", address, err, e.Address())
	}
	if len(s.engines.all) != 1 {
		t.Errorf("%d engines are measured", len(s.engines.all))
	}
	if err := e.close(); err != nil || len(s.engines.all) != 0 {
		t.Errorf("%v; %d engines are left", err, len(s.engines.all))
	}
}

// TestEngineDoesNotOpen where its model is not there, and says so.
func TestEngineDoesNotOpen(t *testing.T) {
	b := membus.New(membus.Options{})
	defer b.Close()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "bad.gguf"), []byte("no model"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &service{Options: Options{Bus: b, Engine: EngineOptions{Models: folder}}}
	for weights, want := range map[string]string{
		"synthetic:x": "whole number", "none.gguf": filepath.Join(folder, "none.gguf"), "bad.gguf": filepath.Join(folder, "bad.gguf"),
	} {
		if _, err := s.openEngine(context.Background(), started(weights), "node-1", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", weights, err, want)
		}
	}
	r := started("")
	r.Start.Spec.Transformer = nil
	if _, err := s.openEngine(context.Background(), r, "node-1", slog.New(slog.DiscardHandler)); err == nil {
		t.Error("an engine of nothing opens")
	}
}
