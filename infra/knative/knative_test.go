package knative

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"tripcast.dev/infra/knative/manifest"
)

var update = flag.Bool("update", false, "write testdata/*.yaml anew")

// deployments are the folders that someone deploys.
var deployments = []string{"overlays/production", "overlays/try-out"}

// rendered is a folder's objects, as they are before Check.
func rendered(t testing.TB, dir string) []Object {
	t.Helper()
	stream, err := Render(dir)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Decode(dir, stream)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func TestEveryFolderIsTaken(t *testing.T) {
	for _, dir := range append([]string{"base", "testdata/own-models", "testdata/public"}, deployments...) {
		t.Run(dir, func(t *testing.T) {
			objects := rendered(t, dir)
			if len(objects) < 10 {
				t.Fatalf("only %d objects", len(objects))
			}
			if err := Check(objects); err != nil {
				t.Error(err)
			}
		})
	}
}

// What a change of base or of an overlay comes to stands in the golden files, for
// whoever reviews it: go test ./infra/knative -update writes them.
func TestGolden(t *testing.T) {
	for _, dir := range deployments {
		stream, err := Render(dir)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", filepath.Base(dir)+".yaml")
		if *update {
			if err := os.WriteFile(golden, stream, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(stream, want) {
			t.Errorf("%s is not as %s has it. Is the difference meant? go test ./infra/knative -update && git diff", dir, golden)
		}
	}
}

// Knative fills K_SINK into a Service that is made after its SinkBinding, and
// otherwise makes a second revision; whatever has to be there comes before what
// needs it, with kubectl as with us.
func TestOrder(t *testing.T) {
	for _, dir := range deployments {
		kustomization, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(kustomization, []byte("sortOptions:\n  order: fifo\n")) {
			t.Errorf("%s: kubectl will order the objects by kind", dir)
		}
		want := []string{
			"Namespace tripcast", "NetworkPolicy deny-all", "Job setup", "KafkaSink predictions", "SinkBinding predict", "Service predict", "KafkaSource features",
		}
		var order []string
		for _, o := range rendered(t, dir) {
			if name := o.Kind + " " + o.Meta.GetName(); slices.Contains(want, name) {
				order = append(order, name)
			}
		}
		if !slices.Equal(order, want) {
			t.Errorf("%s: %v", dir, order)
		}
	}
}

func TestRenderNamesTheFolder(t *testing.T) {
	_, err := Render("overlays/nowhere")
	if err == nil || !strings.Contains(err.Error(), "overlays/nowhere") {
		t.Errorf("got %v", err)
	}
}

// Whoever looks at a namespace finds what belongs together by these labels, and a
// deployment finds by part-of what it has to prune.
func TestLabels(t *testing.T) {
	keys := []string{"app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/component"}
	for _, dir := range deployments {
		for _, o := range rendered(t, dir) {
			p, hasPods := podsOf(o)
			for _, key := range keys {
				value := o.Meta.GetLabels()[key]
				if value == "" {
					t.Errorf("%s: %s has no label %s", dir, o, key)
				}
				if hasPods && p.labels[key] != value {
					t.Errorf("%s: the pods of %s have %s=%q, itself has %q", dir, o, key, p.labels[key], value)
				}
			}
			if got := o.Meta.GetLabels()["app.kubernetes.io/part-of"]; got != "tripcast" {
				t.Errorf("%s: %s is part of %q", dir, o, got)
			}
			if o.Kind != "Namespace" && o.Meta.GetNamespace() != "tripcast" {
				t.Errorf("%s: %s lies elsewhere", dir, o)
			}
		}
	}
}

// What Check asks of every cluster is less than what we ask of ourselves.
func TestWorkloads(t *testing.T) {
	for _, dir := range deployments {
		for _, o := range rendered(t, dir) {
			p, ok := podsOf(o)
			if !ok {
				continue
			}
			if p.spec.AutomountServiceAccountToken == nil || *p.spec.AutomountServiceAccountToken {
				t.Errorf("%s: the pods of %s get a token", dir, o)
			}
			if p.spec.ServiceAccountName != o.Meta.GetName() {
				t.Errorf("%s: %s runs as ServiceAccount %q, not as its own", dir, o, p.spec.ServiceAccountName)
			}
			if job, ok := o.Value.(*batchv1.Job); ok && job.Spec.BackoffLimit == nil {
				t.Errorf("%s: %s does not say how often it may fail", dir, o)
			}
			for _, c := range p.containers() {
				for _, problem := range asked(o, p, c) {
					t.Errorf("%s: %s: %s: %s", dir, o, c.at, problem)
				}
			}
		}
		for _, o := range rendered(t, dir) {
			if a, ok := o.Value.(*corev1.ServiceAccount); ok && (a.AutomountServiceAccountToken == nil || *a.AutomountServiceAccountToken) {
				t.Errorf("%s: %s hands out its token", dir, o)
			}
		}
	}
}

// asked is what a container of ours lacks.
func asked(o Object, p pods, c container) []string {
	var lacks []string
	lack := func(broken bool, what string) {
		if broken {
			lacks = append(lacks, what)
		}
	}
	s := c.SecurityContext
	lack(s == nil || !isTrue(s.ReadOnlyRootFilesystem), "its file system can be written to")
	lack((s == nil || s.RunAsUser == nil || *s.RunAsUser < 100) && (podContext(p.spec).RunAsUser == nil || *podContext(p.spec).RunAsUser < 100),
		"no user is named: runAsNonRoot alone fails on an image that names its user instead of numbering it")
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := c.Resources.Requests[resource], c.Resources.Limits[resource]
		lack(request.IsZero() || limit.IsZero() || limit.Cmp(request) < 0, "it has no request and limit of "+string(resource))
	}
	lack(!pinned(c.Image), c.Image+" is not pinned")
	if serves := o.Kind != "Job" && !c.init; serves {
		lack(c.ReadinessProbe == nil || c.LivenessProbe == nil, "it serves, and has no probes for that")
		lack(len(c.Ports) == 0, "it serves, and names no port")
	}
	return lacks
}

// pinned tells an image that is the same tomorrow, by its version or because ko
// builds it.
func pinned(image string) bool {
	if strings.HasPrefix(image, "ko://tripcast.dev/functions/cmd/") || strings.Contains(image, "@sha256:") {
		return true
	}
	_, tag, ok := strings.Cut(image[strings.LastIndex(image, "/")+1:], ":")
	return ok && strings.Count(strings.TrimPrefix(tag, "v"), ".") == 2
}

func TestPinned(t *testing.T) {
	for image, want := range map[string]bool{
		"ko://tripcast.dev/functions/cmd/predict": true, "redis:7.4.6": true, "localhost:5000/redis:v7.4.6": true,
		"registry.example/predict@sha256:00": true,
		"redis":                              false, "redis:latest": false, "redis:7": false, "redis:7.4": false, "localhost:5000/redis": false, "ko://elsewhere/x": false,
	} {
		if pinned(image) != want {
			t.Errorf("%s: want %v", image, want)
		}
	}
}

// Nothing about events is left to a default: several of Knative's would lose some.
func TestKafkaSourcesAreSpelledOut(t *testing.T) {
	for _, dir := range deployments {
		found := 0
		for _, o := range rendered(t, dir) {
			s, ok := o.Value.(*manifest.KafkaSource)
			if !ok {
				continue
			}
			found++
			d := s.Spec.Delivery
			ordering := manifest.OrderingUnordered
			if s.Name == "champions" {
				ordering = manifest.OrderingOrdered
			}
			if s.Spec.InitialOffset != manifest.OffsetEarliest || s.Spec.Ordering != ordering || s.Spec.ConsumerGroup == "" || s.Spec.Consumers == nil {
				t.Errorf("%s: %s leaves something to defaults: %+v", dir, o, s.Spec)
			}
			if d == nil || d.DeadLetterSink == nil || d.Retry == nil || *d.Retry < 1 || d.BackoffPolicy == nil || d.BackoffDelay == nil || d.Timeout == nil {
				t.Errorf("%s: %s leaves something of its delivery to defaults: %+v", dir, o, d)
			}
			for _, key := range []string{"min-scale", "max-scale", "lag-threshold"} {
				if s.Annotations[scalingPrefix+key] == "" {
					t.Errorf("%s: %s does not tell KEDA its %s", dir, o, key)
				}
			}
		}
		if found != 3 {
			t.Errorf("%s: %d KafkaSources", dir, found)
		}
	}
}

// A KafkaSink that may create its topic deletes it when it is deleted.
func TestKafkaSinksOwnNoTopic(t *testing.T) {
	for _, dir := range deployments {
		for _, o := range rendered(t, dir) {
			if s, ok := o.Value.(*manifest.KafkaSink); ok && (s.Spec.NumPartitions != nil || s.Spec.ReplicationFactor != nil) {
				t.Errorf("%s: %s would delete its topic", dir, o)
			}
		}
	}
}

// What differs between the overlays, and is written in one place of each.
func TestWhatOverlaysSay(t *testing.T) {
	for dir, want := range map[string]struct {
		bootstrap, replication string
		secured, simulated     bool
	}{
		"overlays/production": {"kafka-bootstrap.kafka.svc:9093", "--replication-factor=3", true, false},
		"overlays/try-out":    {"redpanda.tripcast.svc:9092", "--replication-factor=1", false, true},
	} {
		simulated := false
		for _, o := range rendered(t, dir) {
			if env, ok := environmentOf(o); ok && env["KAFKA_BROKERS"].Name != "" && env["KAFKA_BROKERS"].Value != want.bootstrap {
				t.Errorf("%s: %s has another Kafka: %v", dir, o, env["KAFKA_BROKERS"])
			}
			switch v := o.Value.(type) {
			case *manifest.KafkaSource:
				if !slices.Equal(v.Spec.BootstrapServers, []string{want.bootstrap}) || (len(v.Spec.Net.SecretKeys()) == 4) != want.secured {
					t.Errorf("%s: %s: %v, %v", dir, o, v.Spec.BootstrapServers, v.Spec.Net)
				}
			case *manifest.KafkaSink:
				if !slices.Equal(v.Spec.BootstrapServers, []string{want.bootstrap}) || (v.Spec.Auth != nil) != want.secured {
					t.Errorf("%s: %s: %v, %v", dir, o, v.Spec.BootstrapServers, v.Spec.Auth)
				}
			case *batchv1.Job:
				c := v.Spec.Template.Spec.Containers[0]
				if o.Meta.GetName() == "setup" && !slices.Contains(c.Args, want.replication) {
					t.Errorf("%s: %s: %v, want %s", dir, o, c.Args, want.replication)
				}
				simulated = simulated || o.Meta.GetName() == "simulate"
			case *corev1.ConfigMap:
				t.Errorf("%s: %s is for kustomize alone", dir, o)
			}
		}
		if simulated != want.simulated {
			t.Errorf("%s: simulated: %v, want %v", dir, simulated, want.simulated)
		}
	}
}

// environmentOf is what an object's only container is given, false if it has none.
func environmentOf(o Object) (map[string]corev1.EnvVar, bool) {
	p, ok := podsOf(o)
	if !ok || len(p.spec.Containers) != 1 {
		return nil, false
	}
	env := map[string]corev1.EnvVar{}
	for _, e := range p.spec.Containers[0].Env {
		env[e.Name] = e
	}
	return env, true
}
