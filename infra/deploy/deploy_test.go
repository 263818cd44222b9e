package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTold holds everything that goes wrong before something is applied to one
// clear line, and to nothing being applied.
func TestTold(t *testing.T) {
	tests := map[string]struct {
		args   []string
		env    map[string]string
		change func(*fake)
		code   int
		want   []string
	}{
		"no kubectl": {
			args: []string{"apply"}, change: func(f *fake) { f.missing = true }, code: exitFail,
			want: []string{"kubectl is not installed: https://kubernetes.io/docs/tasks/tools/"},
		},
		"no cluster": {
			args: []string{"apply"}, code: exitFail,
			change: func(f *fake) {
				f.down = "E1124 16:00:00.0 memcache.go:265] \"Unhandled Error\" err=\"couldn't get current server API group list\"\n" +
					"The connection to the server localhost:8080 was refused - did you specify the right host or port?\n"
			},
			want: []string{"no cluster answers: The connection to the server localhost:8080 was refused - did you specify the right host or port? (--context and --kubeconfig name another)"},
		},
		"no cluster for delete": {
			args: []string{"delete"}, code: exitFail,
			change: func(f *fake) { f.down = "error: context \"nowhere\" does not exist\n" },
			want:   []string{`no cluster answers: context "nowhere" does not exist (--context and --kubeconfig name another)`},
		},
		"no registry": {
			args: []string{"apply"}, env: map[string]string{}, code: exitUsage,
			want: []string{"where do the images go? --registry or KO_DOCKER_REPO says it, such as ghcr.io/you/tripcast, or kind.local for a kind cluster"},
		},
		"no Knative": {
			args: []string{"apply"}, change: func(f *fake) { delete(f.kinds, "/apis/serving.knative.dev/v1") }, code: exitFail,
			want: []string{"the cluster knows no Service of serving.knative.dev/v1: install Knative Serving, " + serving.where},
		},
		"no Secret": {
			args: []string{"apply"}, change: func(f *fake) { f.secrets, f.namespace = nil, true }, code: exitFail,
			want: []string{"there is no Secret tripcast/redis: kubectl create secret generic redis -n tripcast --from-literal=url=..."},
		},
		"no Secret, no namespace, no Knative": {
			args: []string{"diff"}, change: func(f *fake) { f.secrets, f.kinds["/apis/serving.knative.dev/v1"] = nil, "Route" }, code: exitUsage,
			want: []string{
				"the cluster knows no Service of serving.knative.dev/v1: install Knative Serving, " + serving.where,
				"there is no namespace tripcast for Secrets: kubectl create namespace tripcast",
				"there is no Secret tripcast/redis: kubectl create secret generic redis -n tripcast --from-literal=url=...",
			},
		},
		"no key": {
			args: []string{"apply"}, change: func(f *fake) { f.secrets["redis"], f.namespace = "\nuri ", true }, code: exitFail,
			want: []string{`the Secret tripcast/redis has no key url: kubectl patch secret redis -n tripcast -p '{"stringData":{"url":"..."}}'`},
		},
		"the Secret of another overlay": {
			args: []string{"apply"}, change: func(f *fake) { f.secrets["redis"], f.namespace = "tripcast\nurl ", true }, code: exitFail,
			want: []string{"the Secret tripcast/redis is from another overlay and goes with it: kubectl delete secret redis -n tripcast && kubectl create secret generic redis -n tripcast --from-literal=url=..."},
		},
		"what does not compile": {
			args: []string{"apply"}, code: exitFail,
			change: func(f *fake) {
				f.ko = "2026/11/24 16:24:08 Building tripcast.dev/functions/cmd/predict for linux/amd64\n" +
					"Error: error processing import paths in \"-\": error resolving image references: build: go build: exit status 1: # tripcast.dev/functions/predict\n" +
					"functions/predict/predict.go:2:15: declared and not used: x\nfunctions/predict/predict.go:2:23: undefined: y\n"
			},
			want: []string{"building images: tripcast.dev/functions/predict does not compile: functions/predict/predict.go:2:15: declared and not used: x (and 1 more)"},
		},
		"what is no command": {
			args: []string{"apply"}, code: exitFail,
			change: func(f *fake) {
				f.ko = "Error: error processing import paths in \"-\": error resolving image references: found strict reference but ko://tripcast.dev/functions/cmd/nosuch is not a valid import path: importpath is not `package main`\n"
			},
			want: []string{"building images: tripcast.dev/functions/cmd/nosuch is no command: ko:// is followed by the import path of a package main"},
		},
		"a registry that is down": {
			args: []string{"apply"}, code: exitFail,
			change: func(f *fake) {
				f.ko = "Error: error processing import paths in \"-\": error resolving image references: writing sbom: Get \"https://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused\n"
			},
			want: []string{`building images: writing sbom: Get "https://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused (is the registry, or that of the base image, up?)`},
		},
		"no overlay": {
			args: []string{"apply", "--overlay", "./nowhere"}, code: exitUsage,
			want: []string{"there is no infra/knative/overlays here: deploy runs in the root of the repository"},
		},
		"no command":     {code: exitUsage, want: []string{`wants one command, apply, diff or delete: got []`}},
		"no such":        {args: []string{"destroy"}, code: exitUsage, want: []string{`"destroy" is not a command: apply, diff and delete are`}},
		"no such flag":   {args: []string{"apply", "--dry"}, code: exitUsage, want: []string{"flag provided but not defined: -dry"}},
		"no time at all": {args: []string{"apply", "--timeout", "0s"}, code: exitUsage, want: []string{"--timeout: 0s is no time to wait"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := knows()
			if test.change != nil {
				test.change(f)
			}
			env := test.env
			if env == nil {
				env = map[string]string{"KO_DOCKER_REPO": "registry.example"}
			}
			code, out, errs := f.deployWith(t, env, test.args...)
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if want := "deploy: " + strings.Join(test.want, "\ndeploy: ") + "\n"; errs != want {
				t.Errorf("said\n%swant\n%s", errs, want)
			}
			if out != "" || len(f.did) > 0 {
				t.Errorf("printed %q and did %q, want nothing", out, f.did)
			}
		})
	}
}

func TestApply(t *testing.T) {
	f := knows()
	f.namespace = true
	f.live = []object{
		made("Job", "setup-0123456789", byUs), made("Secret", "redis"), made("Revision", "predict-00001", labelled, owned),
	}
	code, out, errs := f.deploy(t, "--context", "there", "apply")
	if code != exitOK {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	want := []string{
		"ko resolve",
		"--context=there apply --server-side --force-conflicts --field-manager=tripcast -f -",
		"--context=there apply --server-side --force-conflicts --field-manager=tripcast -f - --dry-run=server",
		"--context=there apply --server-side --force-conflicts --field-manager=tripcast -f -",
		"--context=there delete -n tripcast --ignore-not-found --timeout=50ms job.batch/setup-0123456789",
	}
	if !slices.Equal(f.did, want) {
		t.Errorf("did\n%s\nwant\n%s", strings.Join(f.did, "\n"), strings.Join(want, "\n"))
	}
	if !strings.HasSuffix(out, "deleted    Job tripcast/setup-0123456789\n") {
		t.Errorf("said\n%s", out)
	}
}

// TestRefused: what the API server refuses is told, and nothing of it is applied.
func TestRefused(t *testing.T) {
	f := knows()
	f.refuses = "The Service \"predict\" is invalid: \n* spec.a: Invalid value: \"string\"\n* spec.b: Required value\n" +
		"Error from server (Forbidden): jobs.batch is forbidden\n"
	code, _, errs := f.deploy(t, "apply")
	want := "deploy: The Service \"predict\" is invalid: spec.a: Invalid value: \"string\"; spec.b: Required value\n" +
		"deploy: jobs.batch is forbidden\n"
	if code != exitFail || errs != want {
		t.Errorf("%d\n%swant %d\n%s", code, errs, exitFail, want)
	}
	if len(f.did) != 2 { // ko, and the namespace that the dry run needs
		t.Errorf("did %q", f.did)
	}
}

func TestDiff(t *testing.T) {
	// As it is deployed.
	f := knows()
	if code, _, errs := f.deploy(t, "apply"); code != exitOK {
		t.Fatal(errs)
	}
	s := deployed(t)
	for _, o := range s {
		byUs(o)
	}
	_, f.live = s.split()
	if code, out, errs := f.deploy(t, "diff"); code != exitOK || out != "" {
		t.Errorf("what is as it should be: %d\n%s%s", code, out, errs)
	}

	f.diff = "-  a\n+  b\n"
	if code, out, _ := f.deploy(t, "diff"); code != exitDiffer || out != f.diff {
		t.Errorf("what was changed by hand: %d\n%s", code, out)
	}
	f.diff = ""
	f.live = append(f.live, made("ConfigMap", "models-old", byUs))
	if code, out, _ := f.deploy(t, "diff"); code != exitDiffer || out != "delete     ConfigMap tripcast/models-old\n" {
		t.Errorf("what would be deleted: %d\n%s", code, out)
	}
	f.namespace = false
	if code, out, _ := f.deploy(t, "diff"); code != exitDiffer || !strings.HasPrefix(out, "create     Service tripcast/predict\ncreate     Job tripcast/setup-") {
		t.Errorf("where there is no namespace: %d\n%s", code, out)
	}
	if slices.ContainsFunc(f.did[3+1:], func(did string) bool { return !strings.HasPrefix(did, "ko ") }) {
		t.Errorf("diff did %q", f.did)
	}
}

// deployed is the small tripcast as it is applied.
func deployed(t *testing.T) set {
	t.Helper()
	s, _, err := render("./testdata/overlay")
	if err != nil {
		t.Fatal(err)
	}
	s, err = images{runner: knows(), registry: "registry.example"}.resolve(t.Context(), s, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := nameJobs(s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNameJobs(t *testing.T) {
	named := func(change func(job object)) string {
		s := deployedUnnamed(t)
		job := s[slices.IndexFunc(s, func(o object) bool { return o.GetKind() == "Job" })]
		change(job)
		if err := nameJobs(s); err != nil {
			t.Fatal(err)
		}
		return job.GetName()
	}
	spec := func(job object) map[string]any { return job.Object["spec"].(map[string]any) }
	first := named(func(object) {})
	if len(first) != len("setup-0123456789") || !strings.HasPrefix(first, "setup-") {
		t.Errorf("the Job's name is %q", first)
	}
	if again := named(func(object) {}); again != first {
		t.Errorf("the same Job is %q and %q", first, again)
	}
	if labelled := named(func(job object) { job.SetAnnotations(map[string]string{"note": "of no weight"}) }); labelled != first {
		t.Errorf("a Job that does the same is %q, was %q", labelled, first)
	}
	if other := named(func(job object) { spec(job)["activeDeadlineSeconds"] = int64(601) }); other == first {
		t.Errorf("two Jobs are %q", first)
	}
	s := deployed(t)
	for i := range s.ids() {
		if i.Kind != "Job" && strings.Contains(i.name, "-") {
			t.Errorf("%s was renamed", i)
		}
	}
}

func deployedUnnamed(t *testing.T) set {
	t.Helper()
	s, _, err := render("./testdata/overlay")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPrunable(t *testing.T) {
	s := deployed(t)
	dying := func(o object) {
		now := metav1.Now()
		o.SetDeletionTimestamp(&now)
	}
	namespace := made("Namespace", "tripcast-old", byUs)
	namespace.SetNamespace("")
	live := []object{
		made("Job", "setup-old", byUs),
		made("ConfigMap", "models-old", byUs),
		made("ConfigMap", "labelled-by-hand", labelled),
		made("ConfigMap", "applied-by-others", labelled, byOthers),
		made("Secret", "kafka"),
		made("Revision", "predict-00001", byUs, owned), // Knative copies the Service's labels
		made("Job", "going", byUs, dying),
		namespace,
	}
	for _, o := range s {
		byUs(o)
		live = append(live, o)
	}
	var got []string
	for _, o := range prunable(live, s) {
		got = append(got, idOf(o).String())
	}
	if want := []string{"Job tripcast/setup-old", "ConfigMap tripcast/models-old"}; !slices.Equal(got, want) {
		t.Errorf("pruned would be %q, want %q", got, want)
	}
}

func TestDelete(t *testing.T) {
	f := knows()
	f.namespace = true
	f.live = []object{
		made("ConfigMap", "kube-root-ca.crt"), made("ServiceAccount", "default"),
		made("Secret", "redis"), made("Revision", "predict-00001", owned),
	}
	code, out, errs := f.deploy(t, "delete")
	want := "left       Namespace tripcast\n" +
		"             with Secret tripcast/redis, which deploy has not made\n" +
		"             delete --everything deletes these too\n" +
		"left       topics, models and SQL where the Secrets redis point: deploy does not touch what is outside of the cluster's namespace\n"
	if code != exitOK || out != want {
		t.Errorf("%d, said\n%s%swant\n%s", code, out, errs, want)
	}
	if len(f.did) > 0 {
		t.Errorf("did %q", f.did)
	}

	// The fake's namespace stays: that is told, after the time that was given.
	code, _, errs = f.deploy(t, "delete", "--everything")
	if code != exitFail || errs != "deploy: namespace tripcast is still there after 50ms: the cluster does not say why\n" {
		t.Errorf("%d: %s", code, errs)
	}
	if want := []string{"delete namespace tripcast --ignore-not-found --wait=false"}; !slices.Equal(f.did, want) {
		t.Errorf("did %q, want %q", f.did, want)
	}
}

func TestSecretsOf(t *testing.T) {
	s, err := decode([]byte(`
apiVersion: v1
kind: Secret
metadata: {name: brought, namespace: a}
---
apiVersion: batch/v1
kind: Job
metadata: {name: j, namespace: a}
spec:
  template:
    spec:
      volumes:
        - secret: {secretName: volume, items: [{key: ca.crt, path: ca.crt}]}
        - secret: {secretName: maybe, optional: true, items: [{key: x, path: x}]}
      containers:
        - envFrom:
            - secretRef: {name: all}
          env:
            - valueFrom: {secretKeyRef: {name: brought, key: url}}
            - valueFrom: {secretKeyRef: {name: one, key: b}}
            - valueFrom: {secretKeyRef: {name: one, key: a}}
            - valueFrom: {secretKeyRef: {name: one, key: c, optional: true}}
---
apiVersion: eventing.knative.dev/v1alpha1
kind: KafkaSink
metadata: {name: k, namespace: b}
spec: {auth: {secret: {ref: {name: kafka}}}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[secret][]string{
		{"a", "volume"}: {"ca.crt"}, {"a", "all"}: nil, {"a", "one"}: {"a", "b"}, {"b", "kafka"}: {"protocol"},
	}
	if got := secretsOf(s); !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestOverlays holds the manifests that are deployed to what deploy asks of them.
func TestOverlays(t *testing.T) {
	external := map[string]int{"try-out": 0, "production": 3}
	for overlay, secrets := range external {
		t.Run(overlay, func(t *testing.T) {
			s, _, err := render(filepath.Join("../knative/overlays", overlay))
			if err != nil {
				t.Fatal(err)
			}
			if got := secretsOf(s); len(got) != secrets {
				t.Errorf("it refers to the Secrets %v and does not bring them, want %d", got, secrets)
			}
			if got := s.namespaces(); !slices.Equal(got, []string{tripcast}) {
				t.Errorf("it lies in the namespaces %v, want %s alone", got, tripcast)
			}
		})
	}
}

func TestHomeless(t *testing.T) {
	s := set{made("Job", "labelled", labelled), made("ConfigMap", "models")}
	s[0].SetNamespace("")
	err := s.homeless()
	want := "Job labelled: metadata.namespace is missing\nConfigMap tripcast/models: the label app.kubernetes.io/part-of: tripcast is missing"
	if err == nil || err.Error() != want {
		t.Errorf("said %v, want %s", err, want)
	}
}

// TestListOnce: an object that two API groups serve is listed by both.
func TestListOnce(t *testing.T) {
	elsewhere := made("Job", "setup", byUs)
	elsewhere.SetAPIVersion("elsewhere/v1")
	elsewhere.SetUID(made("Job", "setup", byUs).GetUID())
	f := knows()
	f.live = []object{made("Job", "setup", byUs), elsewhere, made("ConfigMap", "models", byUs)}
	got, err := cluster{runner: f}.list(t.Context(), tripcast, "")
	if err != nil || len(got) != 2 {
		t.Errorf("listed %d objects, %v: want 2", len(got), err)
	}
}
