package deployment

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spotserve/spotserve/test/internal/program"
)

// Ports of the deployment. Of a tapped port, a tap listens on another.
const (
	natsPort, natsTap       = 4222, 4223
	clusterPort             = 6222
	clickhousePort, rowsTap = 9440, 9441
	metricsPort             = 9100 // and more, where a host has several services
	dataPort, dataTap       = 7400, 7500
)

// nodes are those of the published trace As; three hosts have their workers.
const (
	nodes      = 11
	nodeHosts  = 3
	tappedNode = 1
)

func node(i int) string     { return "node-" + strconv.Itoa(i) }
func nodeHost(i int) string { return "machine-" + strconv.Itoa(i%nodeHosts) }

// site is a deployment.
type site struct {
	t     *testing.T
	dir   string
	keys  string
	lan   *lan
	parts []*part
	nats  string // URLs of the servers
	bus   *tap   // before a NATS server
	rows  *tap   // before ClickHouse
	data  *tap   // before a worker's data plane
	tools map[string]string
}

// part is a process of the site.
type part struct {
	name    string
	host    *host
	metrics string // host:port; empty: none
	file    string
	dir     string
	env     []string
	args    []string
	*program.Process
	outputs []*program.Output // of all its processes
}

func (p *part) start() {
	p.Process = p.host.start(p.dir, p.env, p.file, p.args...)
	p.outputs = append(p.outputs, &p.Stderr, &p.Stdout)
}

// newSite deploys everything and waits until it is ready.
func newSite(t *testing.T) *site {
	t.Helper()
	tools := map[string]string{
		"nats":              program.Installed(t, "nats", "bash .ci/tools nats, and put the folder that it prints into PATH"),
		"clickhouse-client": program.Installed(t, "clickhouse-client", "apt-get install clickhouse-client"),
		"clickhouse-server": clickhouseServer(t),
	}
	hosts := []string{"nats-1", "nats-2", "nats-3", "clickhouse", "trace-replayer-0", "trace-replayer-1", "planner-0", "planner-1", "collector", "plotter", "operator"}
	for i := range nodeHosts {
		hosts = append(hosts, nodeHost(i))
	}
	s := &site{t: t, tools: tools, dir: t.TempDir(), lan: newLAN(t, hosts...)}
	s.makeKeys()
	s.startNATS()
	s.startClickHouse()
	s.add("collector", "collector", "collector", s.natsAt(natsTap), 0, "--store", s.storeAs("collector", rowsTap), "--store-password-file", s.password("collector"))
	for i := range 2 {
		n := strconv.Itoa(i)
		s.add("planner-"+n, "planner", "planner", s.nats, 0)
		s.add("trace-replayer-"+n, "trace-replayer", "trace-replayer", s.nats, 0)
	}
	s.add("plotter", "plotter", "plotter", s.nats, 0, "--store", s.storeAs("plotter", clickhousePort), "--store-password-file", s.password("plotter"), "--figures", filepath.Join(s.dir, "figures"))
	for i := range nodes {
		args := []string{"--node", node(i), "--data-listen", s.lan.on(nodeHost(i)).at(dataPort + i), "--models", s.dir}
		if i == tappedNode {
			h := s.lan.on(nodeHost(i))
			s.data = newTap(h, dataTap, dataPort+i)
			args = append(args, "--data-advertise", h.at(dataTap))
		}
		s.addOn(nodeHost(i), node(i), "worker", "worker-"+node(i), s.nats, i, args...)
	}
	return s
}

// makeKeys has the command make them, as an operator does.
func (s *site) makeKeys() {
	s.t.Helper()
	s.keys = filepath.Join(s.dir, "keys")
	args := []string{"deploy", "keys", "--out", s.keys, "--host", "nats-1", "--host", "nats-2", "--host", "nats-3", "--host", "clickhouse"}
	for i := range nodes {
		args = append(args, "--node", node(i))
	}
	if exit := program.Run(s.t, s.dir, nil, spotserve(s.t), args...); exit.Code != 0 {
		s.t.Fatalf("deploy keys ends with %d\n%s%s", exit.Code, exit.Stdout, exit.Stderr)
	}
}

// startNATS starts a cluster of three, each on a host of its own with the files of
// deploy/nats, and a tap before the first.
func (s *site) startNATS() {
	s.t.Helper()
	var urls, routes []string
	for i := range 3 {
		urls = append(urls, s.natsURL(i+1, natsPort))
		routes = append(routes, fmt.Sprintf("nats://nats-%d:%d", i+1, clusterPort))
	}
	s.nats = strings.Join(urls, ",")
	for i := range 3 {
		name := "nats-" + strconv.Itoa(i+1)
		folder := filepath.Join(s.dir, name)
		s.copyFolder(filepath.Join(s.keys, "nats"), folder)
		s.copyFolder(filepath.Join(repository, "deploy", "nats"), folder)
		h := s.lan.on(name)
		p := &part{name: name, host: h, file: natsServer(s.t), dir: folder, args: []string{"-c", "nats-server.conf"}, env: []string{
			"NATS_NAME=" + name, "NATS_LISTEN=" + h.at(natsPort), "NATS_MONITOR=127.0.0.1:8222",
			"NATS_STORE=" + filepath.Join(folder, "store"), "NATS_MAX_STORE=1GB",
			"NATS_CLUSTER_LISTEN=" + h.at(clusterPort), "NATS_ROUTES=[" + strings.Join(routes, ",") + "]",
		}}
		p.start()
		s.parts = append(s.parts, p)
	}
	for _, p := range s.parts {
		p.Await(s.t, "Server is ready")
	}
	s.bus = newTap(s.lan.on("nats-1"), natsTap, natsPort)
}

func (s *site) natsURL(server, port int) string { return fmt.Sprintf("tls://nats-%d:%d", server, port) }

// natsAt is the first server alone, by another port.
func (s *site) natsAt(port int) string { return s.natsURL(1, port) }

func (s *site) copyFolder(from, to string) {
	s.t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		text, err := os.ReadFile(filepath.Join(from, e.Name()))
		err = errors.Join(err, os.MkdirAll(to, 0o700), os.WriteFile(filepath.Join(to, e.Name()), text, 0o600))
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// add starts a service on the host of its name.
func (s *site) add(name, program, role, nats string, nth int, args ...string) {
	s.t.Helper()
	s.addOn(name, name, program, role, nats, nth, args...)
}

// addOn starts a service with the settings of its file in deploy/, its own
// credentials, and what differs from site to site.
func (s *site) addOn(host, name, program, role, nats string, nth int, args ...string) {
	s.t.Helper()
	h := s.lan.on(host)
	p := &part{name: name, host: h, file: service(s.t, program), dir: s.dir, metrics: h.at(metricsPort + nth)}
	p.args = slices.Concat([]string{
		"--config", s.deployed(program + ".yaml"), "--nats", nats, "--stream-replicas", "3", "--metrics-listen", p.metrics, "--log-format", "json",
	}, s.credentials(role), args)
	p.start()
	s.parts = append(s.parts, p)
}

func (s *site) deployed(file string) string {
	s.t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, "deploy", file))
	if err != nil {
		s.t.Fatal(err)
	}
	return path
}

// key is a file of a role's credentials.
func (s *site) key(role, file string) string { return filepath.Join(s.keys, role, file) }

// credentials are the flags that name those of a role.
func (s *site) credentials(role string) []string {
	return []string{
		"--tls-ca", s.key(role, "ca.crt"), "--tls-cert", s.key(role, "tls.crt"), "--tls-key", s.key(role, "tls.key"), "--nats-nkey", s.key(role, "nats.nk"),
	}
}

// part is the process of a name.
func (s *site) part(name string) *part {
	s.t.Helper()
	i := slices.IndexFunc(s.parts, func(p *part) bool { return p.name == name })
	if i < 0 {
		s.t.Fatalf("there is no process %s", name)
	}
	return s.parts[i]
}

type exit = program.Exit

// operate runs the command line as an operator does, to its end.
func (s *site) operate(args ...string) exit {
	s.t.Helper()
	return s.operating(args...).Wait(s.t)
}

func (s *site) operating(args ...string) *program.Process {
	s.t.Helper()
	args = slices.Concat(args, []string{"--nats", s.nats, "--store", s.storeAs("reader", clickhousePort), "--store-password-file", s.password("reader"), "--data", filepath.Join(s.dir, "operator")}, s.credentials("operator"))
	return s.lan.on("operator").start(s.dir, nil, spotserve(s.t), args...)
}

// diagnosis is what the doctor says.
type diagnosis struct {
	Findings []struct{ Check, Status, Found, Mend string }
	OK       int
	Warnings int
	Failed   int
}

func (d diagnosis) String() string {
	var text strings.Builder
	for _, f := range d.Findings {
		if f.Status != "ok" {
			fmt.Fprintf(&text, "%s: %s: %s; %s\n", f.Status, f.Check, f.Found, f.Mend)
		}
	}
	return text.String()
}

// says reports whether there is such a finding.
func (d diagnosis) says(status, check, found string) bool {
	for _, f := range d.Findings {
		if f.Status == status && f.Check == check && strings.Contains(f.Found, found) {
			return true
		}
	}
	return false
}

// doctor has the operator check the deployment.
func (s *site) doctor() (d diagnosis, code int) {
	s.t.Helper()
	args := []string{"doctor", "--output", "json"}
	for i := range nodes {
		args = append(args, "--node", node(i))
	}
	for _, p := range s.parts {
		if p.metrics != "" {
			args = append(args, "--metrics", p.metrics)
		}
	}
	exit := s.operate(args...)
	if err := json.Unmarshal([]byte(exit.Stdout), &d); err != nil {
		s.t.Fatalf("the doctor ends with %d: %v\n%s%s", exit.Code, err, exit.Stdout, exit.Stderr)
	}
	return d, exit.Code
}

// natsCommand is the stock command line of NATS on the operator's host, with the
// certificate of a role and the nkey of one, or without.
func (s *site) natsCommand(certificate, user string, args ...string) exit {
	s.t.Helper()
	given := []string{"--server", s.nats, "--timeout", "5s", "--tlsca", s.key("operator", "ca.crt")}
	if certificate != "" {
		given = append(given, "--tlscert", s.key(certificate, "tls.crt"), "--tlskey", s.key(certificate, "tls.key"))
	}
	if user != "" {
		given = append(given, "--nkey", s.key(user, "nats.nk"), "--inbox-prefix", "_INBOX."+s.user(user))
	}
	return s.lan.on("operator").run(s.dir, []string{"HOME=" + s.dir}, s.tools["nats"], append(given, args...)...)
}

var userKey = regexp.MustCompile(`nkey: (U[A-Z2-7]+)`)

// user is the public key of a role's user, as the servers know it.
func (s *site) user(role string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.keys, "nats", "auth.conf"))
	if err != nil {
		s.t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "# "+role+"\n")
	found := userKey.FindStringSubmatch(after)
	if !ok || found == nil {
		s.t.Fatalf("auth.conf has no user %s", role)
	}
	return found[1]
}
