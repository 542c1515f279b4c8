package natsbus_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
)

// TestMetrics of a bus whose server goes away and comes back.
func TestMetrics(t *testing.T) {
	h := newHost(t, "")
	reg := prometheus.NewPedanticRegistry()
	var up atomic.Bool
	b := connect(t, natsbus.Options{InProcess: h, Name: "tester", Metrics: reg, Linked: up.Store, PublishWait: time.Second})
	put := func() error {
		_, err := b.PublishWait(t.Context(), bus.Outgoing{Subject: "spot.control.experiment.start", Data: []byte("x")})
		return err
	}
	show := func() string {
		names := []string{"spotserve_bus_connected", "spotserve_bus_reconnects_total", "spotserve_bus_stored_messages_total",
			"spotserve_bus_publish_failures_total", "spotserve_bus_unstored_messages"}
		got, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, f := range got {
			for _, name := range names {
				if f.GetName() == name {
					m := f.GetMetric()[0]
					lines = append(lines, fmt.Sprint(strings.TrimPrefix(name, "spotserve_bus_"), " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
				}
			}
		}
		return strings.Join(lines, " ")
	}
	// An answer comes a moment before the message stops counting as unstored.
	mustShow := func(want string) {
		t.Helper()
		got := show()
		for deadline := time.Now().Add(10 * time.Second); got != want && time.Now().Before(deadline); got = show() {
			time.Sleep(time.Millisecond)
		}
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
	if err := put(); err != nil || !up.Load() {
		t.Fatalf("%v, connected: %t", err, up.Load())
	}
	mustShow("connected 1 publish_failures_total 0 reconnects_total 0 stored_messages_total 1 unstored_messages 0")
	h.stop(t)
	if err := put(); err == nil {
		t.Fatal("it was stored nowhere")
	}
	if up.Load() {
		t.Error("it does not say that the connection is lost")
	}
	mustShow("connected 0 publish_failures_total 1 reconnects_total 0 stored_messages_total 1 unstored_messages 0")
	h.start(t)
	for !up.Load() {
		time.Sleep(time.Millisecond)
	}
	if err := put(); err != nil {
		t.Fatal(err)
	}
	mustShow("connected 1 publish_failures_total 1 reconnects_total 1 stored_messages_total 2 unstored_messages 0")
	if n, err := testutil.GatherAndCount(reg, "spotserve_bus_publish_seconds"); n != 1 || err != nil {
		t.Errorf("%d histograms, %v", n, err)
	}
	if _, err := natsbus.Connect(t.Context(), natsbus.Options{InProcess: h, Name: "tester", Metrics: reg}); err == nil {
		t.Error("two buses show metrics under one name")
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if families, _ := reg.Gather(); len(families) != 0 {
		t.Errorf("a bus that is closed shows %d families", len(families))
	}
}
