//go:build unix

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// mustSay looks for all parts in what a command says.
func mustSay(t *testing.T, said string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(said, part) {
			t.Errorf("it says %q, want it to contain %q", said, part)
		}
	}
	if strings.Contains(said, "goroutine ") {
		t.Errorf("it shows its inside:\n%s", said)
	}
}

// mustHaveStartedNothing: there is no data folder.
func (s *site) mustHaveStartedNothing() {
	s.t.Helper()
	if _, err := os.Stat(s.data()); !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("there is a data folder: %v", err)
	}
}

// TestWrongArguments: what is wrong, what is allowed, what is most like it; and
// nothing is started.
func TestWrongArguments(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		say  []string
	}{
		{"e2e spotserv 20B As", 1, []string{`unknown approach "spotserv": allowed`, "spotserve", "did you mean spotserve?"}},
		{"e2e spotserve 20 As", 1, []string{`unknown model "20": allowed are 6.7B, 20B, 30B; did you mean 20B?`}},
		{"e2e spotserve 20B as", 1, []string{`unknown trace "as": allowed are As, Bs, As+o, Bs+o; did you mean As?`}},
		{"e2e spotserve 20B as --virtual", 1, []string{"did you mean As?"}},
		{"e2e spotserve 20B", 2, []string{"takes 3 arguments, got 2", "<approach> <model> <trace>"}},
		{"e2e spotserve 20B As --sed 1", 2, []string{"unknown flag: --sed", "--help"}},
		{"e2e spotserve 20B As --seed one", 2, []string{`"one" for "--seed"`}},
		{"e2e spotserve 20B As --time-scale -3", 1, []string{`time scale "-3" is not a positive, finite number`}},
		{"e2e spotserve 20B As --time-scale 0", 2, []string{"--time-scale 0: allowed are numbers above 0"}},
		{"e2e spotserve 20B As --arrivals evenly", 1, []string{`unknown arrivals kind "evenly"`, "artifact, gamma, poisson, even", "did you mean even?"}},
		{"e2e spotserve 20B As --quirks all", 1, []string{`unknown quirks setting "all"`, "none, artifact"}},
		{"e2e spotserve 20B As --output yaml", 2, []string{`--output "yaml": allowed are text, json`}},
		{"ondemand 5", 1, []string{`unknown fleet size "5": allowed are 3, 4, 6, 8`}},
		{"ondemand five", 2, []string{`number of nodes "five": allowed are`}},
		{"e2f spotserve 20B As", 2, []string{`unknown command "e2f": allowed are`, "did you mean e2e?"}},
		{"plot e3e", 2, []string{`unknown figure "e3e"`, "e2e"}},
		{"config print e3e", 2, []string{`unknown experiment "e3e"`, "e2e, ondemand"}},
		{"up --nats-listen nowhere", 1, []string{"nowhere", "host:port"}},
		{"up now", 2, []string{"takes 0 arguments, got 1"}},
		{"ls", 1, []string{"store.db"}},
		{"show e2e-1", 1, []string{"store.db"}},
		{"sql SELECT", 1, []string{"store.db"}},
		{"plot e2e", 1, []string{"store.db"}},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			mustSay(t, s.refused(c.code, strings.Fields(c.args)...), c.say...)
			if !strings.HasPrefix(c.args, "up --nats") { // which asks the address of the server, beside its folder
				s.mustHaveStartedNothing()
			}
		})
	}
}

// TestBrokenFiles: file, line, reason; and nothing is started.
func TestBrokenFiles(t *testing.T) {
	const add = `[0, "add", {"nodes": ["a", "b", "c"]}]` + "\n"
	for _, c := range []struct {
		name, flag, text string
		say              []string
	}{
		{"duplicate add", "--availability-file", add + `[1000, "add", {"nodes": ["b"]}]` + "\n", []string{":2: ", `"b"`, "up already"}},
		{"unknown removal", "--availability-file", add + `[1000, "remove", {"nodes": ["d"]}]` + "\n", []string{":2: ", `"d"`}},
		{"time running backwards", "--availability-file", add + `[5000, "remove", {"nodes": ["a"]}]` + "\n" + `[4000, "remove", {"nodes": ["b"]}]` + "\n", []string{":3: time runs backwards: 4.000s after 5.000s"}},
		{"a wrong type", "--availability-file", add + `["soon", "remove", {"nodes": ["a"]}]` + "\n", []string{":2: the time is not whole milliseconds: it is a string"}},
		{"an unknown event", "--availability-file", add + `[1000, "reboot", {"nodes": ["a"]}]` + "\n", []string{":2: ", `"reboot"`}},
		{"no JSON", "--availability-file", add + "add b\n", []string{":2: "}},
		{"nothing", "--availability-file", "", []string{": "}},
		{"an arrival before the one above", "--arrivals-file", "0,5.0,512,0\n1,4.0,512,0\n", []string{":2: ", "4"}},
		{"an arrival without a time", "--arrivals-file", "0,5.0,512,0\n1\n", []string{":2: "}},
		{"a profile without latencies", "--profile-file", "{}", []string{": "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, pace := range []string{"--virtual", "--time-scale=60"} {
				s := newSite(t)
				file := s.file("broken.txt", c.text)
				mustSay(t, s.refused(1, job(mainJob, c.flag, file, pace)...), append(c.say, file)...)
				s.mustHaveStartedNothing()
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		t.Parallel()
		s := newSite(t)
		mustSay(t, s.refused(1, job(mainJob, "--availability-file", "none.txt")...), "none.txt")
		s.mustHaveStartedNothing()
	})
}

// deadPort is an address where nothing listens, and nothing else will until the
// test ends.
func deadPort(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return "127.0.0.1:" + strconv.Itoa(name.(*syscall.SockaddrInet4).Port)
}

// TestUnreachable: which URL, and what to do.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	at := deadPort(t)
	for _, c := range []struct {
		args []string
		say  []string
	}{
		{job(mainJob, "--nats", "nats://"+at), []string{"nats://" + at, "nats-server -js", "--nats"}},
		{[]string{"stop", "e2e-1", "--nats", "nats://" + at}, []string{"nats://" + at}},
		{[]string{"up", "--nats", "nats://" + at}, []string{"nats://" + at}},
		{job(mainJob, "--store", "clickhouse://default:secret@"+at+"/db"), []string{at + "/db", "start the server or correct --store"}},
		{job(mainJob, "--virtual", "--store", "clickhouse://default:secret@"+at+"/db"), []string{at + "/db", "start the server or correct --store"}},
		{[]string{"ls", "--store", "clickhouse://default:secret@" + at + "/db"}, []string{at + "/db", "start the server or correct --store"}},
		{job(mainJob, "--store", "sqlite:/proc/none/store.db"), []string{"/proc/none"}},
		{job(mainJob, "--store", "mysql://"+at), []string{`"mysql"`, "sqlite:PATH or clickhouse://"}},
		{job(mainJob, "--data", "/proc/none"), []string{"/proc/none"}},
	} {
		said := newSite(t).refused(1, c.args...)
		mustSay(t, said, c.say...)
		if strings.Contains(said, "secret") {
			t.Errorf("it shows the password: %s", said)
		}
	}
	for _, name := range []string{"trace-replayer", "planner", "collector", "plotter"} {
		s := newSite(t)
		exit := s.serviceExit(name, "--nats", "nats://"+at, "--store", s.store)
		if name == "trace-replayer" || name == "planner" {
			if exit.Code != 2 { // they have no store
				t.Errorf("%s with --store: exit code %d, want 2", name, exit.Code)
			}
			exit = s.serviceExit(name, "--nats", "nats://"+at)
		}
		if exit.Code != 1 {
			t.Errorf("%s: exit code %d, want 1", name, exit.Code)
		}
		mustSay(t, exit.Stderr, "nats://"+at)
	}
}

// TestOneAtATime: a port that is taken, a folder that is in use, and a store
// that has its writer; each with who holds it, or what to do.
func TestOneAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	up := s.up()
	address := strings.TrimPrefix(up.url, "nats://")
	pid := "pid " + strconv.Itoa(up.PID())

	other := newSite(t)
	mustSay(t, other.refused(1, "up", "--nats-listen", address), address, "the port is taken", "--nats nats://"+address)
	mustSay(t, s.refused(1, job(mainJob)...), "store.db", pid)
	mustSay(t, s.refused(1, job(mainJob, "--virtual")...), "store.db", pid)
	mustSay(t, other.refused(1, job(mainJob, "--store", s.store)...), s.data("store.db"), pid)
	mustSay(t, s.refused(1, job(mainJob, "--store", "sqlite:"+other.data("store.db"))...), "spotserve-data", pid, "--nats URL")
	if listed := s.ok("ls"); !strings.Contains(listed, "run") { // reading is free
		t.Errorf("ls prints %q", listed)
	}
	up.stop(t)
}

// TestServicesThatAreMissing on a bus are named before anything runs.
func TestServicesThatAreMissing(t *testing.T) {
	t.Parallel()
	url := startServer(t)
	s := newSite(t)
	s.startService("collector", "--nats", url, "--store", s.store)
	s.startService("trace-replayer", "--nats", url, "--roll-call", "200ms")
	start := job(mainJob, "--nats", url, "--time-scale", fast)
	mustSay(t, s.refused(1, start...), "no planner answers", "planner --nats URL")
	s.startService("planner", "--nats", url)
	mustSay(t, s.refused(1, start...), "no worker stands for", "worker --node '*'")
	s.startService("worker", "--nats", url, "--node", "node-0", "--node", "node-1")
	said := s.refused(1, start...)
	mustSay(t, said, "no worker stands for", "node-2")
	if strings.Contains(said, "node-0,") {
		t.Errorf("it names a node that has a worker: %s", said)
	}
	s.startService("worker", "--nats", url, "--node", "*")
	s.experiment(start...)
	if n := s.count("SELECT count(*) FROM runs WHERE status = 'refused'"); n != 3 {
		t.Errorf("%d refused starts are on record, want 3", n)
	}
}

// TestServicesRefuseWrongSettings with exit code 2 and what is allowed.
func TestServicesRefuseWrongSettings(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, c := range []struct {
		name string
		args []string
		code int
		say  []string
	}{
		{"planner", []string{"--reorder-wait", "soon"}, 2, []string{"reorder-wait", "soon"}},
		{"planner", []string{"now"}, 2, []string{`unexpected argument "now"`}},
		{"worker", []string{"--nod", "a"}, 2, []string{"--nod"}},
		{"trace-replayer", []string{"--log-level", "loud"}, 2, []string{"loud", "debug, info, warn or error"}},
		{"collector", []string{"--metrics-listen", "nowhere"}, 1, []string{"nowhere", "host:port"}},
	} {
		exit := s.serviceExit(c.name, c.args...)
		if exit.Code != c.code {
			t.Errorf("%s %v: exit code %d, want %d", c.name, c.args, exit.Code, c.code)
		}
		mustSay(t, exit.Stderr, c.say...)
	}
}
