//go:build unix

package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestChart holds what the chart renders to what Kubernetes would find out only
// when it runs it.
func TestChart(t *testing.T) {
	t.Parallel()
	for _, values := range valueFiles(t) {
		t.Run(values, func(t *testing.T) {
			r := render(t, values)
			for _, w := range r.workloads {
				checkWorkload(t, r, w)
				checkPod(t, r, w)
				for _, c := range w.pod.Spec.Containers {
					checkContainer(t, w, c)
				}
			}
			for _, s := range r.services {
				checkService(t, r, s)
			}
		})
	}
}

func selects(t *testing.T, s *metav1.LabelSelector, pod corev1.PodTemplateSpec) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(pod.Labels))
}

func checkWorkload(t *testing.T, r release, w workload) {
	t.Helper()
	for _, other := range r.workloads {
		if got, want := selects(t, w.selector, other.pod), other.name == w.name; got != want {
			t.Errorf("%s selects the pods of %s: %t", w.name, other.name, got)
		}
	}
	budgets := 0
	for _, b := range r.budgets {
		if selects(t, b.Spec.Selector, w.pod) {
			budgets++
		}
	}
	if want := min(max(0, int(w.replicas)-1), 1); budgets != want {
		t.Errorf("%s: %d disruption budgets for %d replicas, want %d", w.name, budgets, w.replicas, want)
	}
	if w.serves != "" {
		if s, ok := r.services[w.serves]; !ok || len(w.claims) == 0 {
			t.Errorf("%s: service %q: %t; %d claims", w.name, w.serves, ok, len(w.claims))
		} else if w.replicas > 1 && (s.Spec.ClusterIP != corev1.ClusterIPNone || !s.Spec.PublishNotReadyAddresses) {
			t.Errorf("%s: service %s gives its pods no names before they are ready", w.name, w.serves)
		}
	}
}

func checkPod(t *testing.T, r release, w workload) {
	t.Helper()
	p := w.pod.Spec
	account, ok := r.accounts[p.ServiceAccountName]
	if !ok || !strings.HasSuffix(w.name, strings.TrimPrefix(p.ServiceAccountName, "spotserve-")) || *account.AutomountServiceAccountToken || *p.AutomountServiceAccountToken {
		t.Errorf("%s: account %q, want one of its own without a token", w.name, p.ServiceAccountName)
	}
	s := p.SecurityContext
	if !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.FSGroup == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: security context %+v is not restricted", w.name, s)
	}
	if p.HostPID || p.HostIPC || p.TerminationGracePeriodSeconds == nil {
		t.Errorf("%s: shares the host's processes, or says not how long its end takes", w.name)
	}
	volumes := map[string]bool{}
	for _, v := range p.Volumes {
		volumes[v.Name] = true
		if c := v.PersistentVolumeClaim; c != nil && w.name == "spotserve-plotter" {
			if _, ok := r.claims[c.ClaimName]; !ok {
				t.Errorf("%s: no claim %s", w.name, c.ClaimName)
			}
		}
		if v.Secret != nil && *v.Secret.DefaultMode&0o007 != 0 {
			t.Errorf("%s: everybody may read secret %s", w.name, v.Secret.SecretName)
		}
	}
	for _, c := range w.claims {
		volumes[c.Name] = true
	}
	used := map[string]bool{}
	for _, c := range p.Containers {
		for _, m := range c.VolumeMounts {
			used[m.Name] = true
			if m.Name != "data" && m.Name != "logs" && m.Name != "tmp" && !m.ReadOnly {
				t.Errorf("%s: may write %s", w.name, m.MountPath)
			}
		}
	}
	if !maps.Equal(volumes, used) {
		t.Errorf("%s: volumes %v, of which are mounted %v", w.name, volumes, used)
	}
}

func checkContainer(t *testing.T, w workload, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	if *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
		t.Errorf("%s: security context %+v is not restricted", w.name, s)
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		if _, ok := c.Resources.Requests[name]; !ok {
			t.Errorf("%s: requests no %s", w.name, name)
		}
	}
	for what, probe := range map[string]*corev1.Probe{"liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		switch {
		case probe == nil:
			t.Errorf("%s: no %s probe", w.name, what)
		case probe.HTTPGet != nil && !hasPort(c, probe.HTTPGet.Port), probe.TCPSocket != nil && !hasPort(c, probe.TCPSocket.Port):
			t.Errorf("%s: the %s probe's port is none of the container's", w.name, what)
		}
	}
	if c.LivenessProbe != nil && c.LivenessProbe.HTTPGet != nil && c.LivenessProbe.HTTPGet.Path == c.ReadinessProbe.HTTPGet.Path {
		t.Errorf("%s: is killed for what makes it only not ready", w.name)
	}
	if slices.Contains(services, c.Name) {
		checkArgs(t, w.name, c.Name, c.Args, nil)
		if !strings.HasPrefix(c.Image[strings.LastIndex(c.Image, "/")+1:], c.Name+":") {
			t.Errorf("%s: image %s", w.name, c.Image)
		}
		checkReferences(t, w, c)
	}
	if c.Name == "nats" {
		environment := map[string]string{}
		for _, e := range c.Env {
			environment[e.Name] = e.Value
			if e.ValueFrom != nil {
				environment[e.Name] = "its pod's name"
			}
		}
		conf := c.Command[len(c.Command)-1]
		checkVariables(t, w.name, environment, "common.conf", conf)
		if !strings.HasSuffix(c.Image, ":"+natsVersion(t)+"-alpine") {
			t.Errorf("the image of NATS is %s; the services are tested with %s", c.Image, natsVersion(t))
		}
		if (conf == "single.conf") != (w.replicas == 1) {
			t.Errorf("%d NATS servers with %s", w.replicas, conf)
		}
	}
}

// checkReferences: what arguments and mounts take from the environment is there,
// and every file that an argument names is mounted.
func checkReferences(t *testing.T, w workload, c corev1.Container) {
	t.Helper()
	names := map[string]bool{}
	for _, e := range c.Env {
		names[e.Name] = true
	}
	texts := slices.Clone(c.Args)
	for _, m := range c.VolumeMounts {
		texts = append(texts, m.SubPathExpr)
	}
	for _, text := range texts {
		if _, after, ok := strings.Cut(text, "$("); ok {
			if name, _, _ := strings.Cut(after, ")"); !names[name] {
				t.Errorf("%s: %s: no variable %s", w.name, text, name)
			}
		}
		_, path, _ := strings.Cut(text, "=/")
		if path != "" && !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool {
			return "/"+path == m.MountPath || strings.HasPrefix("/"+path, m.MountPath+"/")
		}) {
			t.Errorf("%s: %s: nothing is mounted there", w.name, text)
		}
	}
}

func hasPort(c corev1.Container, port intstr.IntOrString) bool {
	return slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool {
		return p.Name == port.String() || p.ContainerPort == port.IntVal
	})
}

func checkService(t *testing.T, r release, s corev1.Service) {
	t.Helper()
	served := 0
	for _, w := range r.workloads {
		if !labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(w.pod.Labels)) {
			continue
		}
		served++
		for _, p := range s.Spec.Ports {
			if !hasPort(w.pod.Spec.Containers[0], p.TargetPort) {
				t.Errorf("service %s: %s has no port %s", s.Name, w.name, p.TargetPort.String())
			}
		}
	}
	if served != 1 {
		t.Errorf("service %s is of %d workloads, want 1", s.Name, served)
	}
}
