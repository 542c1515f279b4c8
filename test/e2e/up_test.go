//go:build unix

package e2e

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spotserve/spotserve/core/event"
	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/wire"
	"github.com/spotserve/spotserve/test/internal/program"
)

// TestStartByStockNATSClient: experiments are started by publishing to the
// server of spotserve up with the stock command line of NATS.
func TestStartByStockNATSClient(t *testing.T) {
	t.Parallel()
	nats := program.Installed(t, "nats", "go install github.com/nats-io/natscli/nats@latest")
	s := newSite(t)
	up := s.up()
	b := s.bus(up.url)
	publish := func(message string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), nats, "--server", up.url, "pub", wire.SubjectStart, message)
		cmd.Env = []string{"HOME=" + s.dir, "XDG_CONFIG_HOME=" + filepath.Join(s.dir, "nats-config")}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("nats pub %s: %v\n%s", message, err, out)
		}
	}

	// The published experiment as the README shows it, but for its pace.
	publish(`{"e2e":{"approach":"spotserve","model":"20B","trace":"Bs"},"options":{"time_scale":` + fast + `}}`)
	publish(`{"e2e":{"approach":"spotserve","mdel":"20B","trace":"Bs"}}`)
	publish(`{"e2e":{"approach":"spotserve","model":"20B","trace":"Cs"}}`)
	// It waits for the first one.
	publish(`{"ondemand":{"nodes":6},"options":{"timeScale":` + fast + `,"seed":3}}`)

	answers := answers(t, b, 4)
	first, ok := answers[0].(event.ExperimentAccepted)
	if !ok {
		t.Fatalf("the first start is answered by %+v", answers[0])
	}
	s.awaitRows(2, "SELECT count(*) FROM runs WHERE status = 'refused'")
	for i, want := range map[int]string{1: `did you mean "model"?`, 2: "did you mean As?"} {
		refused, ok := answers[i].(event.ExperimentRefused)
		if !ok || !strings.Contains(refused.Reason, want) {
			t.Errorf("start %d is answered by %+v, want a refusal with %q", i, answers[i], want)
		}
		if listed := s.ok("ls"); !strings.Contains(listed, refused.Reason) || !strings.Contains(listed, "refused") {
			t.Errorf("ls does not tell of the refusal %q:\n%s", refused.Reason, listed)
		}
	}
	second, ok := answers[3].(event.ExperimentAccepted)
	if !ok {
		t.Fatalf("the last start is answered by %+v", answers[3])
	}
	for run, virtual := range map[string][]string{
		first.Run:  {"e2e", "spotserve", "20B", "Bs", "--virtual"},
		second.Run: {"ondemand", "6", "--seed", "3", "--virtual"},
	} {
		stream(t, b, run)
		mustBeAlike(t, decode(t, s.ok("show", run, "--output", "json")), newSite(t).experiment(virtual...))
	}
	up.stop(t)
}

// answers waits for the first n answers to starts.
func answers(t *testing.T, b bus.Bus, n int) (out []event.Body) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	sub, err := b.Follow(ctx, bus.Control, bus.Position{}, wire.SubjectAccepted, wire.SubjectRefused)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Stop()
	for m := range sub.C() {
		body, err := wire.DecodeControl(m.Subject, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if out = append(out, body); len(out) == n {
			return out
		}
	}
	t.Fatalf("%d starts are answered, want %d: %v", len(out), n, sub.Err())
	return nil
}
