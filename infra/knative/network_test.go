package knative

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// network is the policies of a deployment and the pods that they are about.
type network struct {
	policies []*networkingv1.NetworkPolicy
	pods     map[string]pods // by the name of what makes them
}

func networkOf(t *testing.T, dir string) network {
	n := network{pods: map[string]pods{}}
	for _, o := range rendered(t, dir) {
		if p, ok := podsOf(o); ok {
			n.pods[o.Meta.GetName()] = p
		}
		if p, ok := o.Value.(*networkingv1.NetworkPolicy); ok {
			n.policies = append(n.policies, p)
		}
	}
	if len(n.policies) == 0 || len(n.pods) == 0 {
		t.Fatalf("%s: %d policies, %d kinds of pods", dir, len(n.policies), len(n.pods))
	}
	return n
}

func matches(t *testing.T, s *metav1.LabelSelector, l map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(l))
}

// ways are who may reach whom, as "predict -> redis:6379", from the policies'
// rules of one direction.
func (n network) ways(t *testing.T, direction networkingv1.PolicyType) []string {
	var all []string
	for name, p := range n.pods {
		for _, policy := range n.policies {
			if !matches(t, &policy.Spec.PodSelector, p.labels) {
				continue
			}
			if direction == networkingv1.PolicyTypeEgress {
				for _, rule := range policy.Spec.Egress {
					for _, peer := range n.peers(t, rule.To) {
						all = append(all, name+" -> "+peer+ports(rule.Ports))
					}
				}
				continue
			}
			for _, rule := range policy.Spec.Ingress {
				for _, peer := range n.peers(t, rule.From) {
					all = append(all, peer+" -> "+name+ports(rule.Ports))
				}
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// peers are the names of our own pods, or what is told of others.
func (n network) peers(t *testing.T, peers []networkingv1.NetworkPolicyPeer) []string {
	if len(peers) == 0 {
		return []string{"anywhere"}
	}
	var all []string
	for _, peer := range peers {
		switch {
		case peer.IPBlock != nil:
			all = append(all, peer.IPBlock.CIDR)
		case peer.NamespaceSelector == nil:
			found := false
			for name, p := range n.pods {
				if matches(t, peer.PodSelector, p.labels) {
					found, all = true, append(all, name)
				}
			}
			if !found {
				t.Errorf("a policy names pods that nothing makes: %v", peer.PodSelector)
			}
		default:
			other := metav1.FormatLabelSelector(peer.NamespaceSelector)
			if peer.PodSelector != nil {
				other += "/" + metav1.FormatLabelSelector(peer.PodSelector)
			}
			all = append(all, strings.ReplaceAll(other, "kubernetes.io/metadata.name", "namespace"))
		}
	}
	return all
}

func ports(ports []networkingv1.NetworkPolicyPort) string {
	var all []string
	for _, p := range ports {
		text := p.Port.String()
		if p.EndPort != nil {
			text += fmt.Sprintf("-%d", *p.EndPort)
		}
		all = append(all, text)
	}
	return ":" + strings.Join(slices.Compact(all), ",")
}

// The whole of who reaches whom, to be read.
func TestNetworkPolicies(t *testing.T) {
	knative := []string{
		"namespace in (contour-internal,istio-system,knative-serving,kourier-system) -> learn:8012,8013,8112",
		"namespace in (contour-internal,istio-system,knative-serving,kourier-system) -> monitor:8012,8013,8112",
		"namespace in (contour-internal,istio-system,knative-serving,kourier-system) -> predict:8012,8013,8112",
		"namespace in (contour-internal,istio-system,knative-serving,kourier-system) -> promote:8012,8013,8112",
		"namespace=knative-serving/app=autoscaler -> learn:9090",
		"namespace=knative-serving/app=autoscaler -> monitor:9090",
		"namespace=knative-serving/app=autoscaler -> predict:9090",
		"namespace=knative-serving/app=autoscaler -> promote:9090",
	}
	kafkaSinks := "predict -> namespace=knative-eventing/app=kafka-sink-receiver:8080,8443"
	for dir, want := range map[string]struct{ in, out []string }{
		"overlays/production": {
			in: knative,
			out: []string{
				"learn -> anywhere:6379,6380",
				"monitor -> anywhere:6379,6380", "monitor -> anywhere:6875", "monitor -> anywhere:9092-9098",
				"predict -> anywhere:6379,6380", "promote -> anywhere:6379,6380", kafkaSinks,
				"setup -> anywhere:6379,6380", "setup -> anywhere:6875", "setup -> anywhere:9092-9098",
			},
		},
		"overlays/try-out": {
			in: append([]string{
				"learn -> redis:6379", "monitor -> redis:6379", "predict -> redis:6379", "promote -> redis:6379", "setup -> redis:6379",
				"materialize -> redpanda:9092", "monitor -> redpanda:9092", "setup -> redpanda:9092", "simulate -> redpanda:9092",
				"namespace in (keda,knative-eventing) -> redpanda:9092",
				"monitor -> materialize:6875", "setup -> materialize:6875",
			}, knative...),
			out: []string{
				"learn -> redis:6379", "monitor -> redis:6379", "predict -> redis:6379", "promote -> redis:6379", "setup -> redis:6379", kafkaSinks,
				"materialize -> redpanda:9092", "monitor -> redpanda:9092", "setup -> redpanda:9092", "simulate -> redpanda:9092",
				"monitor -> materialize:6875", "setup -> materialize:6875",
			},
		},
	} {
		n := networkOf(t, dir)
		for name := range n.pods { // names are everyone's
			want.out = append(want.out, name+" -> namespace=kube-system:53", name+" -> 169.254.20.10/32:53")
		}
		slices.Sort(want.in)
		slices.Sort(want.out)
		if got := n.ways(t, networkingv1.PolicyTypeIngress); !slices.Equal(got, want.in) {
			t.Errorf("%s: comes in:\n%s\nwant\n%s", dir, strings.Join(got, "\n"), strings.Join(want.in, "\n"))
		}
		if got := n.ways(t, networkingv1.PolicyTypeEgress); !slices.Equal(got, want.out) {
			t.Errorf("%s: goes out:\n%s\nwant\n%s", dir, strings.Join(got, "\n"), strings.Join(want.out, "\n"))
		}
	}
}

// A pod that no policy selects may do anything.
func TestEveryPodIsHeld(t *testing.T) {
	for _, dir := range deployments {
		n := networkOf(t, dir)
		for name, p := range n.pods {
			for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress} {
				if !slices.ContainsFunc(n.policies, func(policy *networkingv1.NetworkPolicy) bool {
					return slices.Contains(policy.Spec.PolicyTypes, direction) && matches(t, &policy.Spec.PodSelector, p.labels) &&
						len(policy.Spec.Ingress) == 0 && len(policy.Spec.Egress) == 0
				}) {
					t.Errorf("%s: nothing denies %s its %s", dir, name, direction)
				}
			}
		}
	}
}

// Between two of our own pods, what one side lets out the other lets in, at a port
// that is there.
func TestBothSidesAgree(t *testing.T) {
	for _, dir := range deployments {
		n := networkOf(t, dir)
		in := n.ways(t, networkingv1.PolicyTypeIngress)
		for _, way := range n.ways(t, networkingv1.PolicyTypeEgress) {
			_, to, _ := strings.Cut(way, " -> ")
			name, port, _ := strings.Cut(to, ":")
			target, ours := n.pods[name]
			if !ours {
				continue
			}
			if !slices.Contains(in, way) {
				t.Errorf("%s: %s is let out and not in", dir, way)
			}
			open := false
			for _, c := range target.containers() {
				for _, p := range c.Ports {
					open = open || fmt.Sprint(p.ContainerPort) == port
				}
			}
			if !open {
				t.Errorf("%s: %s: no container has the port", dir, way)
			}
		}
	}
}
