package main

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// pods has the API server judge the pods that would run: the restricted level of
// pod security is enforced on pods and on nothing else, and there is no controller
// here to make them.
func (c *clusterTest) pods(t *testing.T) {
	judged := 0
	for _, o := range c.live(t) {
		pod := podOf(o)
		if pod == nil {
			continue
		}
		judged++
		if out, err := c.create(t, pod); err != nil {
			t.Errorf("the pod of %s: %s, %v", idOf(o), out, err)
		}
		// The judge is awake: the same pod as root is refused.
		containers, _, _ := unstructured.NestedSlice(pod.Object, "spec", "containers")
		container := containers[0].(map[string]any)
		container["securityContext"] = map[string]any{"runAsUser": int64(0)}
		if err := unstructured.SetNestedSlice(pod.Object, containers, "spec", "containers"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.create(t, pod); err == nil || !strings.Contains(err.Error(), "violates PodSecurity") {
			t.Errorf("the pod of %s as root: %v, want it refused by PodSecurity", idOf(o), err)
		}
	}
	if judged < 3 {
		t.Errorf("%d pods were judged: the test looks in the wrong place", judged)
	}
}

func (c *clusterTest) create(t *testing.T, pod object) (string, error) {
	t.Helper()
	asJSON, err := json.Marshal(pod.Object)
	if err != nil {
		t.Fatal(err)
	}
	return c.try(t, string(asJSON), "create", "--dry-run=server", "-f", "-")
}

// podOf is the pod that an object's controller would make of its template; nil if
// it has none.
func podOf(o object) object {
	template, ok, _ := unstructured.NestedMap(o.Object, "spec", "template")
	if !ok {
		return nil
	}
	template = runtime.DeepCopyJSON(template)
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(o.GetNamespace())
	pod.SetName(o.GetName())
	spec := template["spec"].(map[string]any)
	if idOf(o).Group == "serving.knative.dev" {
		asKnative(spec)
	}
	claims, _, _ := unstructured.NestedSlice(o.Object, "spec", "volumeClaimTemplates")
	volumes, _ := spec["volumes"].([]any)
	for _, claim := range claims {
		name, _, _ := unstructured.NestedString(claim.(map[string]any), "metadata", "name")
		volumes = append(volumes, map[string]any{"name": name, "persistentVolumeClaim": map[string]any{"claimName": name}})
	}
	if len(volumes) > 0 {
		spec["volumes"] = volumes
	}
	return pod
}

// asKnative makes of the template of a Service what Knative does: what is for
// Knative itself goes, and probes are for the port that the container has.
func asKnative(spec map[string]any) {
	for _, field := range []string{"containerConcurrency", "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds"} {
		delete(spec, field)
	}
	for _, container := range spec["containers"].([]any) {
		container := container.(map[string]any)
		for _, probe := range []string{"readinessProbe", "livenessProbe", "startupProbe"} {
			if get, ok, _ := unstructured.NestedMap(container, probe, "httpGet"); ok && get["port"] == nil {
				get["port"] = int64(8080)
				_ = unstructured.SetNestedMap(container, get, probe, "httpGet") // it was a map a moment ago
			}
		}
	}
}
