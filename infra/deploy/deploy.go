package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tripcast.dev/infra/knative"
)

// deployment is one run of the command.
type deployment struct {
	options
	cluster cluster
	images  images
	out     io.Writer            // what was done
	note    func(string, ...any) // what is going on, and warnings
	poll    time.Duration        // how often a state that is waited for is looked at
}

func newDeployment(o options, by runner, stdout, stderr io.Writer) *deployment {
	note := func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	d := &deployment{options: o, out: stdout, note: note, poll: time.Second}
	warned := map[string]bool{}
	d.cluster = cluster{runner: by, warn: func(line string) {
		if !warned[line] { // what is listed again is warned about again
			note("%s", line)
		}
		warned[line] = true
	}}
	if o.kubeconfig != "" {
		d.cluster.flags = append(d.cluster.flags, "--kubeconfig="+o.kubeconfig)
	}
	if o.context != "" {
		d.cluster.flags = append(d.cluster.flags, "--context="+o.context)
	}
	d.images = images{runner: by, registry: o.registry, platforms: o.platforms, progress: func(line string) { note("%s", line) }}
	return d
}

func (d *deployment) do(ctx context.Context) error {
	s, stream, err := render(d.overlay)
	if err != nil {
		return err
	}
	if d.command == "delete" { // what is wrong with the manifests does not keep them in the cluster
		return d.delete(ctx, s)
	}
	if err := errors.Join(check(d.overlay, stream), s.homeless()); err != nil {
		return err
	}
	if d.command == "diff" {
		return d.diff(ctx, s)
	}
	return d.apply(ctx, s)
}

// render reads the manifests of a folder. The stream is what it has read.
func render(overlay string) (s set, stream []byte, err error) {
	stream, err = knative.Render(overlay)
	if err != nil {
		return nil, nil, errors.New(strings.Join(strings.Fields(err.Error()), " ")) // kustomize's have many lines
	}
	s, err = decode(stream)
	return s, stream, err
}

// check says everything that is wrong with manifests.
func check(overlay string, stream []byte) error {
	objects, err := knative.Decode(overlay, stream)
	if err != nil {
		return err
	}
	return knative.Check(objects)
}

// complete is the set as it is applied: images by digest, Jobs by content.
func (d *deployment) complete(ctx context.Context, s set, push bool) (set, error) {
	if err := d.cluster.preflight(ctx, s); err != nil {
		return nil, err
	}
	s, err := d.images.resolve(ctx, s, push)
	if err != nil {
		return nil, err
	}
	return s, nameJobs(s)
}

// registrySet refuses to build images that have no place to go to.
func (d *deployment) registrySet(s set) error {
	if stream, err := s.encode(); err != nil || d.registry != "" || !needed(stream) {
		return err
	}
	return usageError{errors.New("where do the images go? --registry or KO_DOCKER_REPO says it, such as ghcr.io/you/tripcast, or kind.local for a kind cluster")}
}

// apply brings the set to the cluster.
func (d *deployment) apply(ctx context.Context, s set) error {
	if err := d.registrySet(s); err != nil {
		return err
	}
	s, err := d.complete(ctx, s, true)
	if err != nil {
		return err
	}
	before, err := d.existing(ctx, s)
	if err != nil {
		return err
	}
	if err := d.bring(ctx, s); err != nil {
		return err
	}
	after, err := d.existing(ctx, s)
	if err != nil {
		return err
	}
	d.report(s, before, after)
	if err := d.prune(ctx, prunable(after, s)); err != nil {
		return err
	}
	if d.wait {
		return d.untilReady(ctx, s)
	}
	return nil
}

// bring applies the namespaces, then everything else, all of it or nothing.
func (d *deployment) bring(ctx context.Context, s set) error {
	namespaces, rest := s.split()
	for _, ns := range namespaces {
		if err := d.untilGone(ctx, ns.GetName()); err != nil {
			return err
		}
	}
	if err := d.cluster.apply(ctx, namespaces); err != nil {
		return err
	}
	// What our own check does not know, a webhook or a quota may: with the first
	// object refused, none is changed.
	if err := d.cluster.apply(ctx, rest, "--dry-run=server"); err != nil {
		return err
	}
	return d.cluster.apply(ctx, rest)
}

// untilGone waits for a namespace that is being deleted.
func (d *deployment) untilGone(ctx context.Context, name string) error {
	ns, err := d.cluster.namespace(ctx, name)
	if err != nil || ns == nil || ns.GetDeletionTimestamp() == nil {
		return err
	}
	d.note("waiting for namespace %s, which is being deleted", name)
	return d.gone(ctx, name)
}

// existing is what is there of ours: the namespaces of the set and what is in
// them.
func (d *deployment) existing(ctx context.Context, s set) ([]object, error) {
	var all []object
	for _, name := range s.namespaces() {
		ns, err := d.cluster.namespace(ctx, name)
		if err != nil {
			return nil, err
		}
		if ns == nil {
			continue
		}
		all = append(all, ns)
		inside, err := d.cluster.list(ctx, name, partOf+"="+tripcast)
		if err != nil {
			return nil, err
		}
		all = append(all, inside...)
	}
	return all, nil
}

// report says what became of each object of the set.
func (d *deployment) report(s set, before, after []object) {
	was, is := set(before).ids(), set(after).ids()
	unchanged := 0
	for _, o := range s {
		i := idOf(o)
		switch {
		case was[i] == nil:
			d.say("created", i)
		case is[i] == nil || !sameWish(was[i], is[i]):
			d.say("changed", i)
		default:
			unchanged++
		}
	}
	if unchanged > 0 {
		fmt.Fprintf(d.out, "%-10s %d of %d\n", "unchanged", unchanged, len(s))
	}
}

func (d *deployment) say(what string, i id) { fmt.Fprintf(d.out, "%-10s %s\n", what, i) }

// prune deletes what an earlier deployment has brought.
func (d *deployment) prune(ctx context.Context, old []object) error {
	for namespace, objects := range byNamespace(old) {
		if err := d.cluster.remove(ctx, namespace, objects, d.timeout); err != nil {
			return fmt.Errorf("deleting what is no longer deployed: %w", err)
		}
		for _, o := range objects {
			d.say("deleted", idOf(o))
		}
	}
	return nil
}

// diff shows what apply would change.
func (d *deployment) diff(ctx context.Context, s set) error {
	if err := d.registrySet(s); err != nil {
		return err
	}
	s, err := d.complete(ctx, s, false)
	if err != nil {
		return err
	}
	before, err := d.existing(ctx, s)
	if err != nil {
		return err
	}
	there, missing := d.partition(s, before)
	changes, err := d.cluster.diff(ctx, there)
	if err != nil {
		return err
	}
	if _, err := d.out.Write(changes); err != nil {
		return fmt.Errorf("showing the difference: %w", err)
	}
	for _, o := range missing {
		d.say("create", idOf(o))
	}
	old := prunable(before, s)
	for _, o := range old {
		d.say("delete", idOf(o))
	}
	if len(changes)+len(missing)+len(old) > 0 {
		return errDiffers
	}
	return nil
}

// partition separates what can be compared from what lies in a namespace that
// does not exist yet, where the API server would not even try.
func (d *deployment) partition(s set, existing []object) (there, missing set) {
	has := set(existing).ids()
	namespaces := map[string]bool{}
	for i := range has {
		if i.Kind == "Namespace" && i.Group == "" {
			namespaces[i.name] = true
		}
	}
	for _, o := range s {
		if ns := o.GetNamespace(); ns != "" && !namespaces[ns] {
			missing = append(missing, o)
		} else {
			there = append(there, o)
		}
	}
	return there, missing
}

// byNamespace sorts objects into the namespaces they lie in.
func byNamespace(objects []object) map[string][]object {
	sorted := map[string][]object{}
	for _, o := range objects {
		sorted[o.GetNamespace()] = append(sorted[o.GetNamespace()], o)
	}
	return sorted
}
