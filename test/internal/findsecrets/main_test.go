package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/platform/testsecret"
)

func TestSearch(t *testing.T) {
	dir := t.TempDir()
	if err := search(io.Discard, []string{dir}); err == nil {
		t.Error("an empty folder passes")
	}

	write(t, dir, "steps.txt", "all is well")
	write(t, dir, "TestX/worker.log", "level=INFO msg=\"service runs\"")
	var said strings.Builder
	if err := search(&said, []string{dir}); err != nil || !strings.Contains(said.String(), "no secret in 2 files") {
		t.Errorf("clean logs: %v, %s", err, said.String())
	}

	password := testsecret.Password()
	file := write(t, dir, "TestX/planner.log", "level=INFO\nlevel=ERROR error=\"refused "+password+"\"")
	said.Reset()
	if err := search(&said, []string{dir}); err == nil {
		t.Error("a planted password passes")
	}
	if want := file + ": line 2: password of a test\n"; said.String() != want {
		t.Errorf("said %q, want %q", said.String(), want)
	}

	if err := search(io.Discard, []string{filepath.Join(dir, "gone")}); err == nil {
		t.Error("a missing folder passes")
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
