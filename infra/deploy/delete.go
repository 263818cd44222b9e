package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// delete takes everything of ours out of the cluster.
func (d *deployment) delete(ctx context.Context, s set) error {
	if err := d.cluster.reachable(ctx); err != nil {
		return err
	}
	own, _ := s.split()
	for _, name := range s.namespaces() {
		ns, err := d.cluster.namespace(ctx, name)
		if err != nil {
			return err
		}
		if ns == nil {
			fmt.Fprintf(d.out, "there is no namespace %s: nothing to delete\n", name)
			continue
		}
		if err := d.empty(ctx, name); err != nil {
			return err
		}
		if _, ours := own.ids()[idOf(ns)]; ours {
			if err := d.dissolve(ctx, ns); err != nil {
				return err
			}
		}
	}
	d.sayLeft(s)
	return nil
}

// empty deletes what is ours in a namespace.
func (d *deployment) empty(ctx context.Context, namespace string) error {
	live, err := d.cluster.list(ctx, namespace, partOf+"="+tripcast)
	if err != nil {
		return err
	}
	ours := slices.DeleteFunc(live, func(o object) bool { return !applied(o) })
	slices.SortStableFunc(ours, func(a, b object) int { return cmp.Compare(turn(a), turn(b)) })
	if err := d.cluster.remove(ctx, namespace, ours, d.timeout); err != nil {
		return fmt.Errorf("deleting what is in namespace %s: %w", namespace, err)
	}
	for _, o := range ours {
		d.say("deleted", idOf(o))
	}
	return d.untilEmpty(ctx, namespace)
}

// turn is when an object is deleted: sources first, so that no event is on its
// way to a function that is gone; sinks after the functions that write to them.
func turn(o object) int {
	switch idOf(o).Kind {
	case "KafkaSource":
		return 0
	case "SinkBinding":
		return 1
	case "KafkaSink":
		return 3
	}
	return 2
}

// untilEmpty waits for what went with ours: pods, and what Knative made of the
// Services. Volumes outlive the sets that claimed them, and go with the
// namespace.
func (d *deployment) untilEmpty(ctx context.Context, namespace string) error {
	var left []string
	err := d.until(ctx, func(ctx context.Context) (bool, error) {
		live, err := d.cluster.list(ctx, namespace, partOf+"="+tripcast)
		left = nil
		for _, o := range live {
			if len(o.GetOwnerReferences()) > 0 || applied(o) {
				left = append(left, idOf(o).String())
			}
		}
		return len(left) == 0, err
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("after %v there still are %s", d.timeout, strings.Join(left, ", "))
	}
	return err
}

// dissolve deletes a namespace, unless somebody has put something of theirs
// into it.
func (d *deployment) dissolve(ctx context.Context, ns object) error {
	inside, err := d.cluster.list(ctx, ns.GetName(), "")
	if err != nil {
		return err
	}
	if theirs := foreign(inside); len(theirs) > 0 && !d.everything {
		d.say("left", idOf(ns))
		for _, o := range theirs {
			fmt.Fprintf(d.out, "%-10s   with %s, which deploy has not made\n", "", idOf(o))
		}
		fmt.Fprintf(d.out, "%-10s   delete --everything deletes these too\n", "")
		return nil
	}
	if _, err := d.cluster.kubectl(ctx, nil, "delete", "namespace", ns.GetName(), "--ignore-not-found", "--wait=false"); err != nil {
		return fmt.Errorf("deleting namespace %s: %w", ns.GetName(), err)
	}
	if err := d.gone(ctx, ns.GetName()); err != nil {
		return err
	}
	d.say("deleted", idOf(ns))
	return nil
}

// foreign is what is in a namespace because somebody wanted it there who is not
// deploy: not what has our label, what belongs to another object or what the
// cluster puts into every namespace.
func foreign(objects []object) []object {
	return slices.DeleteFunc(slices.Clone(objects), func(o object) bool {
		i := idOf(o)
		switch {
		case o.GetLabels()[partOf] == tripcast, len(o.GetOwnerReferences()) > 0:
			return true
		case i.Kind == "ConfigMap":
			return slices.Contains([]string{"kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert", "config-openshift-trusted-cabundle"}, i.name)
		case i.Kind == "ServiceAccount":
			return i.name == "default"
		case i.Kind == "Secret":
			kind, _, _ := unstructured.NestedString(o.Object, "type")
			return kind == "kubernetes.io/service-account-token"
		}
		// What controllers keep beside the objects that it is about.
		return slices.Contains([]string{"EndpointSlice", "Lease"}, i.Kind)
	})
}

// gone waits until a namespace is gone.
func (d *deployment) gone(ctx context.Context, name string) error {
	var last object
	err := d.until(ctx, func(ctx context.Context) (bool, error) {
		ns, err := d.cluster.namespace(ctx, name)
		if ns != nil {
			last = ns
		}
		return ns == nil, err
	})
	if errors.Is(err, errTimeout) {
		return fmt.Errorf("namespace %s is still there after %v: %s", name, d.timeout, hindrance(last))
	}
	return err
}

// hindrance is what the namespace controller says keeps a namespace from going.
func hindrance(ns object) string {
	conditions, _, _ := unstructured.NestedSlice(ns.Object, "status", "conditions")
	var said []string
	for _, c := range conditions {
		if c, _ := c.(map[string]any); c != nil && c["status"] == "True" {
			said = append(said, fmt.Sprint(c["message"]))
		}
	}
	return cmp.Or(strings.Join(said, "; "), "the cluster does not say why")
}

// sayLeft says what deploy does not reach: what lies behind the Secrets.
func (d *deployment) sayLeft(s set) {
	names := map[string]bool{}
	for of := range secretsOf(s) {
		names[of.name] = true
	}
	if len(names) > 0 {
		fmt.Fprintf(d.out, "%-10s topics, models and SQL where the Secrets %s point: deploy does not touch what is outside of the cluster's namespace\n",
			"left", strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
}

// errTimeout is that a state did not come about in time.
var errTimeout = errors.New("timed out")

// until looks at a state again and again until it is as wanted.
func (d *deployment) until(ctx context.Context, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, errTimeout)
	defer cancel()
	tick := time.NewTicker(d.poll)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case ok || err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
