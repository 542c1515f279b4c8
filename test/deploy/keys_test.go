//go:build unix

package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/spotserve/spotserve/test/internal/program"
)

// passwords are the files that docs/runbook.md has people add to the keys.
var passwords = []string{"collector/store.password", "plotter/store.password", "clickhouse/users.env"}

// TestKeysAreWhatIsMounted: every file that the chart and the Compose file take
// from a folder of keys is one that `spotserve deploy keys` writes there.
func TestKeysAreWhatIsMounted(t *testing.T) {
	t.Parallel()
	keys := filepath.Join(t.TempDir(), "keys")
	spotserve := programs.Spotserve(t)
	if exit := program.Run(t, t.TempDir(), nil, spotserve, "deploy", "keys", "--out", keys, "--node", "node-0", "--node", "node-1", "--node", "node-2"); exit.Code != 0 {
		t.Fatalf("spotserve deploy keys: exit code %d: %s", exit.Code, exit.Stderr)
	}
	written := slices.Clone(passwords)
	err := fs.WalkDir(os.DirFS(keys), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			written = append(written, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	mustBe := func(at, file string) {
		t.Helper()
		if !slices.Contains(written, file) {
			t.Errorf("%s: %s: deploy keys writes no such file", at, file)
		}
	}

	for _, w := range render(t, "testdata/values/default.yaml").workloads {
		for _, s := range secretsOf(w.pod.Spec) {
			for _, item := range s.items {
				mustBe(w.name, strings.TrimPrefix(s.name, "spotserve-")+"/"+item)
			}
		}
		for _, m := range w.pod.Spec.Containers[0].VolumeMounts {
			if m.SubPathExpr != "" {
				mustBe(w.name, strings.Replace(m.SubPathExpr, "$(NODE_NAME).", "worker-node-0/", 1))
			}
			if m.SubPath != "" {
				mustBe(w.name, m.SubPath)
			}
		}
	}
	compose, err := filepath.Abs(filepath.Join(folder, "compose"))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range project(t).Services {
		for _, v := range s.Volumes {
			if rel, err := filepath.Rel(filepath.Join(compose, "keys"), v.Source); err == nil && !strings.HasPrefix(rel, "..") {
				if info, err := os.Stat(filepath.Join(keys, rel)); err != nil || !info.IsDir() {
					t.Errorf("%s: deploy keys makes no folder %s", name, rel)
				}
			}
		}
	}
}

// secret is one that a pod mounts.
type secret struct {
	name  string
	items []string
}

func secretsOf(p corev1.PodSpec) (found []secret) {
	keys := func(items []corev1.KeyToPath) (names []string) {
		for _, i := range items {
			names = append(names, i.Key)
		}
		return names
	}
	for _, v := range p.Volumes {
		if v.Secret != nil {
			found = append(found, secret{v.Secret.SecretName, keys(v.Secret.Items)})
		}
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.Secret != nil {
					found = append(found, secret{s.Secret.Name, keys(s.Secret.Items)})
				}
			}
		}
	}
	return found
}
