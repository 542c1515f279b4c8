package deployment

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/testsecret"
)

// TestDeployment goes through a day of a deployment.
func TestDeployment(t *testing.T) {
	began := time.Now()
	step := func(what string, do func()) {
		from := time.Now()
		do()
		t.Logf("%5.1f s, %5.1f s in all: %s", time.Since(from).Seconds(), time.Since(began).Seconds(), what)
	}
	var s *site
	step("everything is deployed", func() { s = newSite(t) })
	step("the doctor finds all well", s.mustBeWell)
	step("a published experiment", s.published)
	step("a run that computes", func() { s.computes(s.planesAreClosed) })
	step("strangers", s.strangersAreRefused)
	step("the store is guarded", s.storeIsGuarded)
	step("the collector is stopped", s.collectorStops)
	step("a worker cannot be reached", s.workerIsCutOff)
	step("what passed on the wires", func() {
		s.bus.mustBeTLS("NATS", []byte("INFO "))
		s.data.mustBeTLS("data plane", nil)
		s.rows.mustBeTLS("ClickHouse", nil)
	})
	step("no secret in any log", s.logsShowNoSecret)
}

// logsShowNoSecret of all that the site has: seeds, keys and passwords.
func (s *site) logsShowNoSecret() {
	s.t.Helper()
	logs, err := filepath.Glob(filepath.Join(s.dir, "clickhouse", "*.log"))
	if err != nil || len(logs) == 0 {
		s.t.Errorf("ClickHouse has no log: %v", err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			s.t.Fatal(err)
		}
		s.mustShowNoSecret(log, text)
	}
	for _, p := range s.parts {
		for _, out := range p.outputs {
			s.mustShowNoSecret(p.name, []byte(out.String()))
		}
	}
}

func (s *site) mustShowNoSecret(who string, text []byte) {
	s.t.Helper()
	for _, leak := range testsecret.Find(text) {
		s.t.Errorf("%s shows a secret: %s", who, leak)
	}
}

// mustBeWell waits until the doctor finds nothing wrong.
func (s *site) mustBeWell() {
	s.t.Helper()
	within(s.t, "the doctor finds all well", func() (bool, any) {
		d, code := s.doctor()
		return code == 0 && d.Failed+d.Warnings == 0, d
	})
}

// collectorStops and is missed; one that comes takes over what waits.
func (s *site) collectorStops() {
	s.t.Helper()
	p := s.part("collector")
	p.Signal(s.t, syscall.SIGTERM)
	if exit := p.Wait(s.t); exit.Code != 0 {
		s.t.Errorf("the collector ends with %d", exit.Code)
	}
	within(s.t, "the doctor finds that there is no collector", func() (bool, any) {
		d, code := s.doctor()
		return code == 1 && d.says("failed", "service collector", "none answers") && d.says("failed", "lease collector", "") &&
			d.says("failed", "metrics http://"+p.metrics, "connection refused"), d
	})
	p.start()
	s.mustBeWell()
}

// workerIsCutOff with its host; when the host is back, so is the worker.
func (s *site) workerIsCutOff() {
	s.t.Helper()
	const away = 2
	h := s.lan.on(nodeHost(away))
	h.unplug()
	within(s.t, "the doctor finds the workers of a host that is cut off", func() (bool, any) {
		d, code := s.doctor()
		return code == 1 && d.says("failed", "node "+node(away), "no worker answers") && d.says("failed", "metrics http://"+h.at(metricsPort+away), ""), d
	})
	h.plug()
	s.mustBeWell()
}
