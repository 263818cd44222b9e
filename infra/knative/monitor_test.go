package knative

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
)

const visibility = "networking.knative.dev/visibility"

// named is the object of a folder with this kind and name.
func named(t *testing.T, dir, kind, name string) Object {
	t.Helper()
	objects := rendered(t, dir)
	i := slices.IndexFunc(objects, func(o Object) bool {
		return o.Kind == kind && o.Meta.GetName() == name && !(kind == "Service" && o.Group() == "")
	})
	if i < 0 {
		t.Fatalf("%s has no %s %s", dir, kind, name)
	}
	return objects[i]
}

// What setup makes is what monitor looks at: both are told the same places, by
// the same keys of the same Secrets.
func TestMonitorLooksWhereSetupMakes(t *testing.T) {
	for _, dir := range deployments {
		setup, _ := environmentOf(named(t, dir, "Job", "setup"))
		monitor, _ := environmentOf(named(t, dir, "Service", "monitor"))
		token := monitor["MONITOR_TOKEN"].ValueFrom
		if token == nil || token.SecretKeyRef == nil || !isTrue(token.SecretKeyRef.Optional) {
			t.Errorf("%s: monitor does not start without a token", dir)
		}
		delete(monitor, "MONITOR_TOKEN")
		if len(setup) == 0 || !reflect.DeepEqual(monitor, setup) {
			t.Errorf("%s: monitor has %v\nsetup has %v", dir, monitor, setup)
		}
	}
}

// A visitor's stream is one request that lasts: nothing counts it, one replica
// has all of them, and it is cut no sooner than Knative has to.
func TestMonitorStreams(t *testing.T) {
	const most = 600 // max-revision-timeout-seconds, as Knative is installed
	for _, dir := range deployments {
		template := named(t, dir, "Service", "monitor").Value.(*servingv1.Service).Spec.Template
		if n := template.Spec.ContainerConcurrency; n == nil || *n != 0 {
			t.Errorf("%s: the replica takes %v visitors", dir, n)
		}
		if s := template.Spec.TimeoutSeconds; s == nil || *s != most {
			t.Errorf("%s: a stream lasts %v s, want %d", dir, s, most)
		}
		if template.Spec.IdleTimeoutSeconds != nil {
			t.Errorf("%s: a stream that has nothing to say is cut", dir)
		}
		if scale := template.Annotations["autoscaling.knative.dev/max-scale"]; scale != "1" {
			t.Errorf("%s: there may be %s replicas, each of which asks for everything", dir, scale)
		}
	}
}

// The dashboard wants no login, so nobody outside of the cluster sees it unless
// an overlay says so, in one line that changes nothing else.
func TestMonitorIsPrivate(t *testing.T) {
	for _, dir := range append([]string{"base"}, deployments...) {
		if v := named(t, dir, "Service", "monitor").Meta.GetLabels()[visibility]; v != "cluster-local" {
			t.Errorf("%s: the dashboard's visibility is %q", dir, v)
		}
	}
	private, err := Render("overlays/production")
	if err != nil {
		t.Fatal(err)
	}
	public, err := Render("testdata/public")
	if err != nil {
		t.Fatal(err)
	}
	before, after, ok := strings.Cut(string(private), "    "+visibility+": cluster-local\n  name: monitor\n")
	if !ok || before+"  name: monitor\n"+after != string(public) {
		t.Error("testdata/public is not production without monitor's label alone")
	}
}
