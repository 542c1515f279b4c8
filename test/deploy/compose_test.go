//go:build unix

package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// project loads the Compose file as docker compose does: against the schema,
// with every variable set, every name known.
func project(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose", "compose.yaml")},
		cli.WithEnv([]string{"SPOTSERVE_UID=1000", "SPOTSERVE_GID=1000", "SPOTSERVE_TAG=1.2.3"}), cli.WithProfiles(profiles), cli.WithInterpolation(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestCompose(t *testing.T) {
	t.Parallel()
	p := project(t, "monitoring")
	for name, s := range p.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.User != "1000:1000" {
			t.Errorf("%s: may do more than it needs to", name)
		}
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 {
			t.Errorf("%s: no health check", name)
		}
		if s.MemLimit == 0 {
			t.Errorf("%s: no limit of its memory", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %d is published on %q, want loopback", name, port.Target, port.HostIP)
			}
		}
		for _, other := range s.GetDependencies() {
			if meeting(s, p.Services[other]) == "" {
				t.Errorf("%s depends on %s and shares no network with it", name, other)
			}
			if p.Services[other].HealthCheck == nil {
				t.Errorf("%s waits for %s, which has no health check", name, other)
			}
		}
		for _, v := range s.Volumes {
			checkSource(t, name, v)
		}
		for network := range s.Networks {
			if !p.Networks[network].Internal && len(s.Ports) == 0 {
				t.Errorf("%s: is on network %s, which has a way out", name, network)
			}
		}
		checkProgram(t, name, s)
	}
	if s := p.Services["nats"]; !strings.HasSuffix(s.Image, ":"+natsVersion(t)+"-alpine") {
		t.Errorf("the image of NATS is %s; the services are tested with %s", s.Image, natsVersion(t))
	} else {
		checkVariables(t, "nats", values(s.Environment), "common.conf", "single.conf")
	}
	if with, without := len(p.Services), len(project(t).Services); with != without+2 {
		t.Errorf("%d services with monitoring, %d without", with, without)
	}
}

// meeting names a network that two services are both on.
func meeting(a, b types.ServiceConfig) string {
	for n := range a.Networks {
		if _, ok := b.Networks[n]; ok {
			return n
		}
	}
	return ""
}

// checkSource: what comes from the repository is there; what a user makes is in
// the folders that are named for it.
func checkSource(t *testing.T, service string, v types.ServiceVolumeConfig) {
	t.Helper()
	compose, err := filepath.Abs(filepath.Join(folder, "compose"))
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(compose, v.Source)
	if err != nil {
		t.Fatal(err)
	}
	switch first, _, _ := strings.Cut(rel, string(filepath.Separator)); first {
	case "keys", "models":
		if !v.ReadOnly {
			t.Errorf("%s: may write %s", service, rel)
		}
	case "data":
		if v.Bind == nil || bool(v.Bind.CreateHostPath) {
			t.Errorf("%s: %s would be made as root's", service, rel)
		}
	default:
		if _, err := os.Stat(v.Source); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		if !v.ReadOnly {
			t.Errorf("%s: may write %s", service, rel)
		}
	}
}

// checkProgram holds a service of ours to its program's flags.
func checkProgram(t *testing.T, name string, s types.ServiceConfig) {
	t.Helper()
	program := name
	if strings.HasPrefix(name, "worker-") {
		program = "worker"
		node := strings.TrimPrefix(name, "worker-")
		if !slices.Contains(s.Command, node) || values(s.Environment)["SPOTSERVE_DATA_ADVERTISE"] != name {
			t.Errorf("%s: command %q, advertises %q", name, s.Command, values(s.Environment)["SPOTSERVE_DATA_ADVERTISE"])
		}
	}
	if !slices.Contains(services, program) {
		return
	}
	checkArgs(t, name, program, s.Command, values(s.Environment))
	if test := s.HealthCheck.Test; test[0] != "CMD" || test[1] != program {
		t.Errorf("%s: health check %q", name, test)
	} else {
		checkArgs(t, name, program, test[2:], nil)
	}
}

func values(environment types.MappingWithEquals) map[string]string {
	set := map[string]string{}
	for name, value := range environment {
		if value != nil {
			set[name] = *value
		}
	}
	return set
}

// natsVersion is the version of NATS that everything here is tested with.
func natsVersion(t *testing.T) string {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join(repository, "platform", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(mod), "github.com/nats-io/nats-server/v2 v")
	if !ok {
		t.Fatal("platform/go.mod: no github.com/nats-io/nats-server/v2")
	}
	version, _, _ := strings.Cut(after, "\n")
	return strings.Fields(version)[0]
}
