//go:build unix

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/spotserve/spotserve/platform/bus"
	"github.com/spotserve/spotserve/platform/bus/natsbus"
	"github.com/spotserve/spotserve/platform/natsserver"
	"github.com/spotserve/spotserve/platform/store"
	"github.com/spotserve/spotserve/platform/store/open"
	"github.com/spotserve/spotserve/test/internal/program"
)

// fast is a time scale at which the published experiments take about a second.
const fast = "2400"

// site is a user's folder, with the settings that all commands get there.
type site struct {
	t     *testing.T
	dir   string
	env   []string
	flags []string
	store string // URL
}

// newSite makes an empty folder. Its store is the default one.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.store = "sqlite:" + s.data("store.db")
	return s
}

// data is a path in the data folder, which is the default one.
func (s *site) data(path ...string) string {
	return filepath.Join(append([]string{s.dir, "spotserve-data"}, path...)...)
}

// start starts spotserve.
func (s *site) start(args ...string) *program.Process {
	s.t.Helper()
	return program.Start(s.t, s.dir, s.env, spotserve(s.t), append(args, s.flags...)...)
}

// run runs spotserve to its end.
func (s *site) run(args ...string) program.Exit {
	s.t.Helper()
	return s.start(args...).Wait(s.t)
}

// ok runs spotserve, which must succeed, and returns what it prints.
func (s *site) ok(args ...string) string {
	s.t.Helper()
	exit := s.run(args...)
	if exit.Code != 0 {
		s.t.Fatalf("spotserve %q: exit code %d\n%s%s", args, exit.Code, exit.Stdout, exit.Stderr)
	}
	return exit.Stdout
}

// refused runs spotserve, which must fail with this exit code and print no
// result, and returns what it says.
func (s *site) refused(code int, args ...string) string {
	s.t.Helper()
	exit := s.run(args...)
	if exit.Code != code || exit.Stdout != "" {
		s.t.Errorf("spotserve %q: exit code %d, want %d; it prints %q and says %q", args, exit.Code, code, exit.Stdout, exit.Stderr)
	}
	return exit.Stderr
}

// experiment runs an experiment and returns its result.
func (s *site) experiment(args ...string) result {
	s.t.Helper()
	return decode(s.t, s.ok(append(args, "--output", "json")...))
}

// rows answers a SQL statement through the command line.
func (s *site) rows(statement string) (rows []map[string]any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(s.ok("sql", statement, "--output", "json")), &rows); err != nil {
		s.t.Fatal(err)
	}
	return rows
}

// query answers a SQL statement that has one value.
func (s *site) query(statement string) (any, error) {
	r, err := open.OpenReader(s.t.Context(), s.store)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rows, err := r.Query(s.t.Context(), statement)
	if err != nil {
		return nil, err
	}
	return single(rows)
}

func single(rows store.Rows) (any, error) {
	if len(rows.Values) != 1 || len(rows.Columns) != 1 {
		return nil, fmt.Errorf("%d rows of %d columns, want one value", len(rows.Values), len(rows.Columns))
	}
	return rows.Values[0][0], nil
}

// count answers a SQL statement that has one number.
func (s *site) count(statement string) int {
	s.t.Helper()
	v, err := s.query(statement)
	n, ok := v.(int64)
	if err != nil || !ok {
		s.t.Fatalf("%s: %v, %v", statement, v, err)
	}
	return int(n)
}

// awaitRows waits until a statement that counts rows finds n. The store may not
// be there yet.
func (s *site) awaitRows(n int64, statement string) {
	s.t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		v, err := s.query(statement)
		if got, ok := v.(int64); ok && got >= n {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-timeout:
			s.t.Fatalf("%s: %v, %v; want %d", statement, v, err, n)
		}
	}
}

// file puts a file into the folder and returns its name.
func (s *site) file(name, text string) string {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// streams opens the streams that the commands have left. It fails the test if a
// process still holds them.
func (s *site) streams() bus.Bus {
	s.t.Helper()
	log := slog.New(slog.DiscardHandler)
	server, err := natsserver.Start(natsserver.Options{StoreDir: s.data(), Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := server.Shutdown(); err != nil {
			s.t.Error(err)
		}
	})
	return s.connect(natsbus.Options{InProcess: server, Log: log})
}

// bus connects to a server.
func (s *site) bus(url string) bus.Bus {
	s.t.Helper()
	return s.connect(natsbus.Options{URL: url, Log: slog.New(slog.DiscardHandler)})
}

func (s *site) connect(o natsbus.Options) bus.Bus {
	s.t.Helper()
	o.Name = "test"
	b, err := natsbus.Connect(s.t.Context(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if err := b.Close(); err != nil {
			s.t.Error(err)
		}
	})
	return b
}

// result is the object that --output json prints.
type result map[string]any

// decode reads the one object that text must be.
func decode(t *testing.T, text string) (r result) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one object:\n%s", text)
	}
	return r
}

func (r result) text(name string) string { s, _ := r[name].(string); return s }

func (r result) int(name string) int { n, _ := r[name].(float64); return int(n) }

// configs are the entries of the configuration timeline, as
// "240 2x2x8 b4 +8": the second, the shape, the batch limit, the new devices.
func (r result) configs() (out []string) {
	list, _ := r["configs"].([]any)
	for _, entry := range list {
		c, _ := entry.(map[string]any)
		n := func(name string) string {
			v, ok := c[name].(float64)
			if !ok {
				return "?"
			}
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
		out = append(out, n("t_s")+" "+n("d")+"x"+n("p")+"x"+n("m")+" b"+n("b")+" +"+n("devices_changed"))
	}
	return out
}
