//go:build unix

package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/spotserve/spotserve/test/internal/program"
)

// release is a rendered chart.
type release struct {
	workloads []workload
	accounts  map[string]corev1.ServiceAccount
	configs   map[string]corev1.ConfigMap
	services  map[string]corev1.Service
	claims    map[string]corev1.PersistentVolumeClaim
	budgets   []policyv1.PodDisruptionBudget
	policies  []networkingv1.NetworkPolicy
	others    []string // kinds that only the cluster's own extensions know
}

// workload is what makes pods.
type workload struct {
	name     string
	replicas int32 // 0: one a node
	selector *metav1.LabelSelector
	pod      corev1.PodTemplateSpec
	serves   string // the headless service of a StatefulSet
	claims   []corev1.PersistentVolumeClaim
}

func helm(t *testing.T) string {
	t.Helper()
	return program.Installed(t, "helm", "bash .ci/tools helm, and add the folder that it prints to the search path")
}

const chart = folder + "/helm/spotserve"

// valueFiles are the settings that the chart is tried with.
func valueFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files of values: %v", len(files), err)
	}
	return files
}

// render renders the chart. Every object is decoded strictly: a field that its
// kind does not have, is there twice or has another type fails the test.
func render(t *testing.T, values string) release {
	t.Helper()
	exit := program.Run(t, ".", nil, helm(t), "template", "spotserve", chart, "--namespace=serving", "--values="+values)
	if exit.Code != 0 {
		t.Fatalf("helm template with %s: %s", values, exit.Stderr)
	}
	r := release{
		accounts: map[string]corev1.ServiceAccount{}, configs: map[string]corev1.ConfigMap{},
		services: map[string]corev1.Service{}, claims: map[string]corev1.PersistentVolumeClaim{},
	}
	for document := range strings.SplitSeq(exit.Stdout, "\n---\n") {
		r.add(t, []byte(strings.TrimPrefix(document, "---\n")))
	}
	return r
}

func (r *release) add(t *testing.T, document []byte) {
	t.Helper()
	var kind struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        metav1.ObjectMeta `json:"metadata"`
	}
	if err := yaml.Unmarshal(document, &kind); err != nil {
		t.Fatalf("%v\n%s", err, document)
	}
	switch name := kind.Metadata.Name; kind.APIVersion + " " + kind.Kind {
	case " ":
	case "apps/v1 Deployment":
		d := decode[appsv1.Deployment](t, document)
		r.workloads = append(r.workloads, workload{name: name, replicas: *d.Spec.Replicas, selector: d.Spec.Selector, pod: d.Spec.Template})
	case "apps/v1 DaemonSet":
		d := decode[appsv1.DaemonSet](t, document)
		r.workloads = append(r.workloads, workload{name: name, selector: d.Spec.Selector, pod: d.Spec.Template})
	case "apps/v1 StatefulSet":
		s := decode[appsv1.StatefulSet](t, document)
		r.workloads = append(r.workloads, workload{
			name: name, replicas: *s.Spec.Replicas, selector: s.Spec.Selector, pod: s.Spec.Template,
			serves: s.Spec.ServiceName, claims: s.Spec.VolumeClaimTemplates,
		})
	case "v1 ServiceAccount":
		r.accounts[name] = decode[corev1.ServiceAccount](t, document)
	case "v1 ConfigMap":
		r.configs[name] = decode[corev1.ConfigMap](t, document)
	case "v1 Service":
		r.services[name] = decode[corev1.Service](t, document)
	case "v1 PersistentVolumeClaim":
		r.claims[name] = decode[corev1.PersistentVolumeClaim](t, document)
	case "policy/v1 PodDisruptionBudget":
		r.budgets = append(r.budgets, decode[policyv1.PodDisruptionBudget](t, document))
	case "networking.k8s.io/v1 NetworkPolicy":
		r.policies = append(r.policies, decode[networkingv1.NetworkPolicy](t, document))
	case "monitoring.coreos.com/v1 PodMonitor", "monitoring.coreos.com/v1 PrometheusRule":
		r.others = append(r.others, kind.Kind)
	default:
		t.Errorf("the chart makes a %s %s, which nothing here checks", kind.APIVersion, kind.Kind)
	}
}

func decode[T any](t *testing.T, document []byte) (object T) {
	t.Helper()
	if err := yaml.UnmarshalStrict(document, &object); err != nil {
		t.Errorf("%v\n%s", err, document)
	}
	return object
}

func TestChartIsLinted(t *testing.T) {
	t.Parallel()
	for _, values := range valueFiles(t) {
		if exit := program.Run(t, ".", nil, helm(t), "lint", "--strict", "--quiet", chart, "--values="+values); exit.Code != 0 {
			t.Errorf("helm lint with %s:\n%s%s", values, exit.Stdout, exit.Stderr)
		}
	}
}

// TestChartRefuses what cannot work, and says what is allowed.
func TestChartRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, set, says string }{
		{"no version of the images", "image.tag=", "image.tag: name the version of the images"},
		{"an unknown setting", "planner.replica=3", "additional properties 'replica' not allowed"},
		{"an even cluster", "nats.replicas=2", "value must be one of 1, 3, 5"},
		{"more copies than servers", "streamReplicas=5", "allowed are at most nats.replicas, 3"},
		{"NATS in plain text", "nats.url=nats://a:4222", "does not match pattern"},
		{"a password among the values", "clickhouse.address=u:p@a:9440", "does not match pattern"},
		{"a level that no log has", "log.level=loud", "value must be one of"},
		{"a word for an argument", "planner.extraArgs={loud}", "does not match pattern"},
		{"a source of notices that needs settings", "worker.notice={file:/x}", "value must be one of"},
		{"workers on every node", "worker.nodeSelector=null", "nodeSelector"},
		{"the host's network without its addresses", "worker.hostNetwork=true", "networkPolicy.nodeCIDRs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			exit := program.Run(t, ".", nil, helm(t), "template", "spotserve", chart, "--set=image.tag=1.2.3", "--set="+c.set)
			if exit.Code == 0 || !strings.Contains(exit.Stderr, c.says) {
				t.Errorf("--set %s: exit code %d, says %q, want %q", c.set, exit.Code, exit.Stderr, c.says)
			}
		})
	}
}

// TestChartHasTheSameFiles: what the chart carries is what lies in deploy/.
func TestChartHasTheSameFiles(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(filepath.Join(chart, "files"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			t.Errorf("files/%s is a copy: link to the file of deploy/", e.Name())
		} else if _, err := os.Stat(filepath.Join(chart, "files", e.Name())); err != nil {
			t.Error(err)
		}
	}
	config := render(t, "testdata/values/default.yaml").configs["spotserve-nats"].Data
	for _, name := range []string{"common.conf", "nats-server.conf"} {
		if strings.TrimSpace(config[name]) != strings.TrimSpace(read(t, "nats", name)) {
			t.Errorf("the chart's %s is another one", name)
		}
	}
}
