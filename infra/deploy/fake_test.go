package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// fake stands in for kubectl and ko: it answers from a few facts and writes down
// what it was asked to do. What a cluster really does is TestCluster's to see.
type fake struct {
	missing   bool              // there is no kubectl
	down      string            // what kubectl says because no cluster answers
	kinds     map[string]string // by API version, the kinds it serves
	secrets   map[string]string // by name, what go-template prints
	namespace bool              // it exists
	live      []object          // what is in the namespace
	ko        string            // ko's complaint, empty if it succeeds
	diff      string            // what kubectl diff prints
	refuses   string            // what the dry run is refused with

	did []string // the calls that change something, in order
}

// knows is everything that the small tripcast of testdata needs.
func knows() *fake {
	return &fake{
		kinds: map[string]string{
			"/api/v1": "Namespace Secret", "/apis/batch/v1": "Job", "/apis/serving.knative.dev/v1": "Service",
		},
		secrets: map[string]string{"redis": "\nurl "},
	}
}

func (f *fake) run(_ context.Context, c command) ([]byte, error) {
	switch {
	case c.name == "go":
		return f.build(c)
	case f.missing:
		return nil, fmt.Errorf("starting kubectl: %w", &exec.Error{Name: "kubectl", Err: exec.ErrNotFound})
	case f.down != "":
		return nil, &exitError{"kubectl", 1, f.down}
	}
	line := strings.Join(c.args, " ")
	c.args = slices.DeleteFunc(slices.Clone(c.args), func(arg string) bool { return strings.HasPrefix(arg, "--context=") })
	switch c.args[0] {
	case "get":
		return f.get(c, line)
	case "api-resources":
		return []byte("configmaps\njobs.batch\nservices.serving.knative.dev\nevents\n"), nil
	case "diff":
		if f.diff == "" {
			return nil, nil
		}
		return []byte(f.diff), &exitError{"kubectl", 1, "exit status 1"}
	}
	if strings.Contains(line, "--dry-run=server") && f.refuses != "" {
		return nil, &exitError{"kubectl", 1, f.refuses}
	}
	if c.args[0] == "apply" && bytes.Contains(c.stdin, []byte("kind: Namespace")) {
		f.namespace = true
	}
	f.did = append(f.did, line)
	return nil, nil
}

// build is ko.
func (f *fake) build(c command) ([]byte, error) {
	if f.ko != "" {
		return nil, &exitError{"go", 1, f.ko}
	}
	f.did = append(f.did, "ko "+c.args[len(koTool)])
	tag := ""
	if slices.Contains(c.args, "--push=false") {
		tag = ":latest"
	}
	resolved := string(c.stdin)
	for _, function := range []string{"predict", "setup"} {
		resolved = strings.ReplaceAll(resolved, "ko://tripcast.dev/functions/cmd/"+function, "registry.example/"+function+tag+"@sha256:"+strings.Repeat("0", 64))
	}
	return []byte(resolved), nil
}

func (f *fake) get(c command, line string) ([]byte, error) {
	switch c.args[1] {
	case "--raw":
		if c.args[2] == "/version" {
			return []byte("{}"), nil
		}
		kinds, ok := f.kinds[c.args[2]]
		if !ok {
			return nil, &exitError{"kubectl", 1, "Error from server (NotFound): the server could not find the requested resource"}
		}
		var list metav1.APIResourceList
		for _, kind := range strings.Fields(kinds) {
			list.APIResources = append(list.APIResources, metav1.APIResource{Kind: kind})
		}
		return json.Marshal(list)
	case "secret":
		return []byte(f.secrets[c.args[2]]), nil
	case "namespace":
		if !f.namespace {
			return nil, nil
		}
		return []byte(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"tripcast"}}`), nil
	}
	if strings.Contains(line, "events") {
		return nil, fmt.Errorf("events were listed: %s", line)
	}
	items := []any{}
	for _, o := range f.live {
		if !slices.Contains(c.args, "-l") || o.GetLabels()[partOf] == tripcast {
			items = append(items, o.Object)
		}
	}
	return json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
}

// deploy runs the command against the fake.
func (f *fake) deploy(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return f.deployWith(t, map[string]string{"KO_DOCKER_REPO": "registry.example"}, args...)
}

func (f *fake) deployWith(t *testing.T, environment map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = append([]string{"--overlay", "./testdata/overlay", "--timeout", "50ms"}, args...)
	code = run(t.Context(), f, args, func(key string) string { return environment[key] }, &out, &errs)
	return code, out.String(), errs.String()
}

// made makes an object as the API server has it once somebody has made it.
func made(kind, name string, changes ...func(object)) object {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": kind}}
	switch kind {
	case "Job":
		o.SetAPIVersion("batch/v1")
	case "Revision":
		o.SetAPIVersion("serving.knative.dev/v1")
	}
	o.SetNamespace(tripcast)
	o.SetName(name)
	stored(o)
	for _, change := range changes {
		change(o)
	}
	return o
}

func stored(o object) { o.SetUID(types.UID(idOf(o).String())) }

func labelled(o object) { o.SetLabels(map[string]string{partOf: tripcast}) }

// byUs is what an apply of deploy's leaves behind.
func byUs(o object) {
	stored(o)
	labelled(o)
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: manager, Operation: metav1.ManagedFieldsOperationApply}})
}

// byOthers is what somebody else has applied, as another tool would.
func byOthers(o object) {
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "argocd-controller", Operation: metav1.ManagedFieldsOperationApply}})
}

func owned(o object) {
	o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "serving.knative.dev/v1", Kind: "Configuration", Name: "predict"}})
}
