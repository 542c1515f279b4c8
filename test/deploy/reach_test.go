//go:build unix

package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// TestNetworkPolicies computes who reaches whom inside a release: a connection
// takes a policy that lets it out on one side, and one that lets it in on the
// other.
func TestNetworkPolicies(t *testing.T) {
	t.Parallel()
	bus := []string{
		"collector -> nats nats", "planner -> nats nats", "plotter -> nats nats", "trace-replayer -> nats nats", "worker -> nats nats",
		"nats -> nats cluster",
	}
	store := []string{"collector -> clickhouse tcp-secure", "plotter -> clickhouse tcp-secure"}
	workers := []string{"worker -> worker data"}
	for values, want := range map[string][]string{
		"default":    slices.Concat(bus, store, workers),
		"external":   workers,
		"everything": slices.Concat(bus, store, workers),
	} {
		t.Run(values, func(t *testing.T) {
			r := render(t, "testdata/values/"+values+".yaml")
			checkPolicies(t, r)
			slices.Sort(want)
			if got := reach(t, r); !slices.Equal(got, want) {
				t.Errorf("who reaches whom: %q\nwant %q", got, want)
			}
		})
	}
}

// reach lists "FROM -> TO PORT" for all connections inside of a release.
func reach(t *testing.T, r release) []string {
	t.Helper()
	var found []string
	for _, from := range r.workloads {
		for _, to := range r.workloads {
			for _, port := range to.pod.Spec.Containers[0].Ports {
				if out(t, r, from, to, port) && in(t, r, from, to, port) {
					found = append(found, fmt.Sprintf("%s -> %s %s", short(from), short(to), port.Name))
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

func short(w workload) string { return strings.TrimPrefix(w.name, "spotserve-") }

func out(t *testing.T, r release, from, to workload, port corev1.ContainerPort) bool {
	t.Helper()
	return slices.ContainsFunc(r.policies, func(p networkingv1.NetworkPolicy) bool {
		return selects(t, &p.Spec.PodSelector, from.pod) && slices.ContainsFunc(p.Spec.Egress, func(rule networkingv1.NetworkPolicyEgressRule) bool {
			return names(t, rule.To, to) && opens(rule.Ports, port)
		})
	})
}

func in(t *testing.T, r release, from, to workload, port corev1.ContainerPort) bool {
	t.Helper()
	return slices.ContainsFunc(r.policies, func(p networkingv1.NetworkPolicy) bool {
		return selects(t, &p.Spec.PodSelector, to.pod) && slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
			return names(t, rule.From, from) && opens(rule.Ports, port)
		})
	})
}

// names reports whether a pod of the release's namespace is among the peers.
func names(t *testing.T, peers []networkingv1.NetworkPolicyPeer, w workload) bool {
	t.Helper()
	return slices.ContainsFunc(peers, func(p networkingv1.NetworkPolicyPeer) bool {
		return p.PodSelector != nil && p.NamespaceSelector == nil && selects(t, p.PodSelector, w.pod)
	})
}

func opens(ports []networkingv1.NetworkPolicyPort, port corev1.ContainerPort) bool {
	return slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		return p.Port.String() == port.Name || p.Port.IntVal == port.ContainerPort
	})
}

// checkPolicies: all pods are closed but for what a rule opens, no rule is for
// all peers or all ports, and every port that is named is one of a container.
func checkPolicies(t *testing.T, r release) {
	t.Helper()
	for _, w := range r.workloads {
		if !slices.ContainsFunc(r.policies, func(p networkingv1.NetworkPolicy) bool {
			return selects(t, &p.Spec.PodSelector, w.pod) && len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress) == 0
		}) {
			t.Errorf("%s is open", w.name)
		}
	}
	for _, p := range r.policies {
		for _, rule := range p.Spec.Ingress {
			checkRule(t, r, p, rule.From, rule.Ports)
			for _, port := range rule.Ports {
				checkNamed(t, r, p.Name, *port.Port, func(w workload) bool { return selects(t, &p.Spec.PodSelector, w.pod) })
			}
		}
		for _, rule := range p.Spec.Egress {
			checkRule(t, r, p, rule.To, rule.Ports)
			for _, port := range rule.Ports {
				checkNamed(t, r, p.Name, *port.Port, func(w workload) bool { return names(t, rule.To, w) })
			}
		}
	}
}

func checkRule(t *testing.T, r release, p networkingv1.NetworkPolicy, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) {
	t.Helper()
	if len(peers) == 0 || len(ports) == 0 {
		t.Errorf("policy %s: a rule for %d peers (0: all) and %d ports (0: all)", p.Name, len(peers), len(ports))
	}
}

// checkNamed: a port that has a name has to be one of those whom the rule is about.
func checkNamed(t *testing.T, r release, policy string, port intstr.IntOrString, about func(workload) bool) {
	t.Helper()
	if port.Type == intstr.Int {
		return
	}
	if !slices.ContainsFunc(r.workloads, func(w workload) bool { return about(w) && hasPort(w.pod.Spec.Containers[0], port) }) {
		t.Errorf("policy %s: nobody that it is about has a port %s", policy, port.String())
	}
}
