package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// manager is the name our fields go by in the API server.
const manager = "tripcast"

// cluster is a Kubernetes cluster, reached through the user's kubectl: it knows
// every way in that kubeconfig files have, and what it may do is what they may.
type cluster struct {
	runner
	flags []string     // --context and --kubeconfig, where given
	warn  func(string) // told of what the API server warns about
}

// kubectl runs kubectl. Its error has one line for each thing that is wrong.
func (c cluster) kubectl(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	out, err := c.run(ctx, command{
		name:  "kubectl",
		args:  slices.Concat(c.flags, args),
		stdin: stdin,
		progress: func(line string) {
			if strings.HasPrefix(line, "Warning:") {
				c.warn(line)
			}
		},
	})
	var exit *exitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/")
	case errors.As(err, &exit):
		return out, &kubectlError{exitError: exit, lines: complaints(exit.stderr)}
	}
	return out, err
}

// kubectlError is what kubectl had to complain about.
type kubectlError struct {
	*exitError
	lines []string
}

func (e *kubectlError) Error() string {
	if len(e.lines) == 0 {
		return e.exitError.Error()
	}
	return strings.Join(e.lines, "\n")
}

func (e *kubectlError) Unwrap() error { return e.exitError }

// complaints are the lines of kubectl's stderr that say what is wrong, without
// the words that say it is an error and with the items of a list on its line.
func complaints(stderr string) []string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "Warning:"):
			continue
		case strings.HasPrefix(line, "* ") && len(lines) > 0:
			lines[len(lines)-1] += "; " + line[2:]
			continue
		}
		line = strings.TrimPrefix(line, "error: ")
		if rest, ok := strings.CutPrefix(line, "Error from server"); ok {
			if _, message, ok := strings.Cut(rest, ": "); ok {
				line = message
			}
		}
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	for i, line := range lines {
		lines[i] = strings.Replace(line, " is invalid:;", " is invalid:", 1)
	}
	return lines
}

// apply applies objects as they are written: a field that somebody else has
// changed since is ours again.
func (c cluster) apply(ctx context.Context, s set, more ...string) error {
	stream, err := s.encode()
	if err != nil || len(s) == 0 {
		return err
	}
	args := []string{"apply", "--server-side", "--force-conflicts", "--field-manager=" + manager, "-f", "-"}
	_, err = c.kubectl(ctx, stream, append(args, more...)...)
	return err
}

// diff is what apply would change, as diff(1) shows it; empty if nothing.
func (c cluster) diff(ctx context.Context, s set) ([]byte, error) {
	stream, err := s.encode()
	if err != nil {
		return nil, err
	}
	out, err := c.kubectl(ctx, stream, "diff", "--server-side", "--force-conflicts", "--field-manager="+manager, "-f", "-")
	if exitCode(err) == 1 && len(out) > 0 {
		err = nil // that is how kubectl says that there is a difference
	}
	return out, err
}

// remove deletes objects of one namespace and waits until they are gone.
func (c cluster) remove(ctx context.Context, namespace string, objects []object, timeout time.Duration) error {
	if len(objects) == 0 {
		return nil
	}
	args := []string{"delete", "-n", namespace, "--ignore-not-found", "--timeout=" + timeout.String()}
	for _, o := range objects {
		args = append(args, idOf(o).argument())
	}
	_, err := c.kubectl(ctx, nil, args...)
	return err
}

// namespace is the namespace of that name, nil if there is none.
func (c cluster) namespace(ctx context.Context, name string) (object, error) {
	out, err := c.kubectl(ctx, nil, "get", "namespace", name, "--ignore-not-found", "-o", "json")
	if err != nil || len(out) == 0 {
		return nil, err
	}
	ns, err := one(out)
	if err != nil {
		return nil, fmt.Errorf("reading namespace %s: %w", name, err)
	}
	return ns, nil
}

// list is everything in a namespace that has a label, or everything if no label
// is named, of every type that the cluster knows: what an earlier version of the
// manifests has brought may be of a type that this one does not use.
func (c cluster) list(ctx context.Context, namespace, label string) ([]object, error) {
	listable, err := c.types(ctx)
	if err != nil {
		return nil, err
	}
	args := []string{"get", strings.Join(listable, ","), "-n", namespace, "--show-managed-fields", "-o", "json"}
	if label != "" {
		args = append(args, "-l", label)
	}
	out, err := c.kubectl(ctx, nil, args...)
	if err := c.unseen(err); err != nil {
		return nil, fmt.Errorf("listing what is in namespace %s: %w", namespace, err)
	}
	objects, err := several(out)
	if err != nil {
		return nil, fmt.Errorf("listing what is in namespace %s: %w", namespace, err)
	}
	// An object that is served in two API groups is one object all the same.
	seen := map[types.UID]bool{}
	objects = slices.DeleteFunc(objects, func(o object) bool {
		twice := seen[o.GetUID()]
		seen[o.GetUID()] = true
		return twice
	})
	slices.SortFunc(objects, byID)
	return objects, nil
}

// types are the namespaced types that can be listed and deleted.
func (c cluster) types(ctx context.Context) ([]string, error) {
	out, err := c.kubectl(ctx, nil, "api-resources", "--namespaced", "--verbs=list,delete", "-o", "name")
	types := strings.Fields(string(out))
	if err != nil {
		if len(types) == 0 {
			return nil, fmt.Errorf("asking the cluster what it knows: %w", err)
		}
		// An extension that is down, such as a metrics server, is not our concern.
		c.warn("Warning: " + err.Error())
	}
	// What the cluster writes down by itself is nobody's to deploy, and asking for
	// Endpoints is frowned upon.
	return slices.DeleteFunc(types, func(t string) bool {
		return t == "events" || t == "events.events.k8s.io" || t == "endpoints"
	}), nil
}

// unseen turns an error about types that this user may not list into warnings:
// what they may not see they have not applied either.
func (c cluster) unseen(err error) error {
	var complaint *kubectlError
	if !errors.As(err, &complaint) {
		return err
	}
	for line := range strings.Lines(complaint.stderr) {
		if line = strings.TrimSpace(line); line != "" && !strings.Contains(line, "(Forbidden)") && !strings.Contains(line, "(MethodNotAllowed)") {
			return err
		}
	}
	for _, line := range complaint.lines {
		c.warn("Warning: " + line)
	}
	return nil
}
