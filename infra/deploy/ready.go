package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// untilReady waits until all of the set is as it should be.
func (d *deployment) untilReady(ctx context.Context, s set) error {
	_, rest := s.split()
	var pending []string
	told := ""
	err := d.until(ctx, func(ctx context.Context) (bool, error) {
		live, err := d.cluster.current(ctx, rest)
		if err != nil {
			return false, err
		}
		pending, err = waitedFor(live)
		if now := strings.Join(pending, ", "); now != told && now != "" {
			d.note("waiting for %s", now)
			told = now
		}
		return len(pending) == 0, err
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("not ready after %v: %s", d.timeout, strings.Join(pending, ", "))
	}
	return err
}

// current is the set as the cluster has it now.
func (c cluster) current(ctx context.Context, s set) ([]object, error) {
	stream, err := s.encode()
	if err != nil || len(s) == 0 {
		return nil, err
	}
	out, err := c.kubectl(ctx, stream, "get", "-f", "-", "-o", "json")
	if err != nil {
		return nil, err
	}
	var objects []object
	if len(s) == 1 { // which kubectl prints as itself
		objects = make([]object, 1)
		objects[0], err = one(out)
	} else {
		objects, err = several(out)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at what was applied: %w", err)
	}
	return objects, nil
}

// waitedFor are those that are not ready yet, with the reason they give. The
// error is about those that never will be.
func waitedFor(live []object) (pending []string, err error) {
	var errs []error
	for _, o := range live {
		why, err := unready(o)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", idOf(o), err))
		case why != "":
			pending = append(pending, idOf(o).String()+" ("+why+")")
		}
	}
	return pending, errors.Join(errs...)
}

// unready is why an object is not ready yet, empty if it is. The error says that
// it never will be.
func unready(o object) (string, error) {
	i := idOf(o)
	switch {
	case i.GroupKind == jobKind:
		return unended(o)
	case i.Group == "apps":
		return short(o), nil
	case strings.HasSuffix(i.Group, ".knative.dev"):
		c := condition(o, "Ready")
		if seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); c == nil || seen < o.GetGeneration() {
			return "not looked at yet", nil
		}
		if c["status"] != "True" {
			return said(c), nil
		}
	}
	return "", nil
}

// unended is for Jobs. One with a deadline is meant to end; any other, such as
// the one that plays trips, is as it should be as soon as it runs.
func unended(job object) (string, error) {
	if c := condition(job, "Failed"); c != nil && c["status"] == "True" {
		return "", fmt.Errorf("failed: %s (kubectl logs -n %s job/%s)", said(c), job.GetNamespace(), job.GetName())
	}
	if c := condition(job, "Complete"); c != nil && c["status"] == "True" {
		return "", nil
	}
	_, ends, _ := unstructured.NestedInt64(job.Object, "spec", "activeDeadlineSeconds")
	running, _, _ := unstructured.NestedInt64(job.Object, "status", "ready")
	switch {
	case running == 0:
		return "no pod runs yet", nil
	case ends:
		return "running", nil
	}
	return "", nil
}

// short is how many replicas a Deployment or StatefulSet lacks.
func short(o object) string {
	wanted, given, _ := unstructured.NestedInt64(o.Object, "spec", "replicas")
	if !given {
		wanted = 1
	}
	seen, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
	updated, _, _ := unstructured.NestedInt64(o.Object, "status", "updatedReplicas")
	has, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas")
	if seen < o.GetGeneration() || updated < wanted || has < wanted {
		return fmt.Sprintf("%d of %d ready", min(has, updated), wanted)
	}
	return ""
}

// condition is the condition of a type in an object's status.
func condition(o object, kind string) map[string]any {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if c, _ := c.(map[string]any); c != nil && c["type"] == kind {
			return c
		}
	}
	return nil
}

// said is what a condition says, on one line.
func said(c map[string]any) string {
	var words []string
	for _, field := range []string{"reason", "message"} {
		if text, _ := c[field].(string); text != "" {
			words = append(words, strings.Join(strings.Fields(text), " "))
		}
	}
	if len(words) == 0 {
		return fmt.Sprintf("%v is %v", c["type"], c["status"])
	}
	return strings.Join(words, ": ")
}
