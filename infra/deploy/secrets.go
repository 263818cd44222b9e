package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// secret is a Secret that objects refer to.
type secret struct{ namespace, name string }

// secretsOf are the Secrets that a set refers to and does not bring, each with
// the keys that have to be there.
func secretsOf(s set) map[secret][]string {
	found := references{}
	for _, o := range s {
		found.walk(o.GetNamespace(), o.Object)
		// A KafkaSink names a Secret whose keys depend on one of them.
		if name, _, _ := unstructured.NestedString(o.Object, "spec", "auth", "secret", "ref", "name"); name != "" {
			found.add(secret{o.GetNamespace(), name}, "protocol")
		}
	}
	for i := range s.ids() {
		if i.GroupKind == (schema.GroupKind{Kind: "Secret"}) {
			delete(found, secret{i.namespace, i.name})
		}
	}
	wanted := make(map[secret][]string, len(found))
	for of, keys := range found {
		wanted[of] = slices.Sorted(maps.Keys(keys))
	}
	return wanted
}

// references are the keys that are needed of each Secret.
type references map[secret]map[string]bool

func (r references) add(of secret, keys ...string) {
	if r[of] == nil {
		r[of] = map[string]bool{}
	}
	for _, key := range keys {
		r[of][key] = true
	}
}

// walk finds the ways to refer to a Secret wherever they stand: the pods of a
// Service, a Job or a StatefulSet and the net of a KafkaSource spell them alike.
func (r references) walk(namespace string, value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			r.walk(namespace, item)
		}
	case map[string]any:
		for field, inner := range v {
			switch ref, _ := inner.(map[string]any); {
			case ref == nil || ref["optional"] == true:
			case field == "secretKeyRef":
				r.reference(namespace, ref["name"], ref["key"])
			case field == "secretRef": // envFrom: all of its keys, whatever they are
				r.reference(namespace, ref["name"], nil)
			case field == "secret" && ref["secretName"] != nil: // a volume
				r.volume(namespace, ref)
			}
			if ref, _ := inner.(map[string]any); ref == nil || ref["optional"] != true {
				r.walk(namespace, inner)
			}
		}
	}
}

func (r references) volume(namespace string, ref map[string]any) {
	r.reference(namespace, ref["secretName"], nil)
	items, _ := ref["items"].([]any)
	for _, item := range items {
		if item, _ := item.(map[string]any); item != nil {
			r.reference(namespace, ref["secretName"], item["key"])
		}
	}
}

func (r references) reference(namespace string, name, key any) {
	n, _ := name.(string)
	if n == "" {
		return
	}
	if k, _ := key.(string); k != "" {
		r.add(secret{namespace, n}, k)
	} else {
		r.add(secret{namespace, n})
	}
}

// secrets looks for what is missing of the Secrets that a set refers to. It
// reads the names of the keys and never a value.
func (c cluster) secrets(ctx context.Context, s set) error {
	wanted := secretsOf(s)
	order := slices.SortedFunc(maps.Keys(wanted), func(a, b secret) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.name, b.name))
	})
	var errs []error
	homes := map[string]bool{}
	for _, of := range order {
		found, err := c.keysOf(ctx, of)
		if err != nil {
			return err
		}
		problem := lacking(of, wanted[of], found)
		if problem == nil {
			continue
		}
		if !homes[of.namespace] {
			homes[of.namespace] = true
			ns, err := c.namespace(ctx, of.namespace)
			if err != nil {
				return err
			}
			if ns == nil {
				errs = append(errs, fmt.Errorf("there is no namespace %s for Secrets: kubectl create namespace %[1]s", of.namespace))
			}
		}
		errs = append(errs, problem)
	}
	return errors.Join(errs...)
}

// contents is what is known of a Secret that is there.
type contents struct {
	keys []string
	ours bool // applied with another overlay
}

func (c cluster) keysOf(ctx context.Context, of secret) (*contents, error) {
	const template = `go-template={{with .metadata.labels}}{{index . "` + partOf + `"}}{{end}}{{"\n"}}{{range $key, $_ := .data}}{{$key}} {{end}}`
	out, err := c.kubectl(ctx, nil, "get", "secret", of.name, "-n", of.namespace, "--ignore-not-found", "-o", template)
	if err != nil {
		return nil, fmt.Errorf("looking for Secret %s/%s: %w", of.namespace, of.name, err)
	}
	label, keys, found := strings.Cut(string(out), "\n")
	if !found {
		return nil, nil
	}
	return &contents{keys: strings.Fields(keys), ours: label == tripcast}, nil
}

// lacking says what a Secret lacks and how to give it that. There is none if
// nothing was found.
func lacking(of secret, keys []string, found *contents) error {
	create := "kubectl create secret generic " + of.name + " -n " + of.namespace
	for _, key := range keys {
		if strings.HasSuffix(key, ".crt") || strings.HasSuffix(key, ".key") {
			create += " --from-file=" + key + "=FILE"
		} else {
			create += " --from-literal=" + key + "=..."
		}
	}
	switch {
	case found == nil:
		return fmt.Errorf("there is no Secret %s/%s: %s", of.namespace, of.name, create)
	case found.ours:
		return fmt.Errorf("the Secret %s/%s is from another overlay and goes with it: kubectl delete secret %[2]s -n %[1]s && %[3]s",
			of.namespace, of.name, create)
	}
	missing := slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(found.keys, key) })
	if len(missing) == 0 {
		return nil
	}
	patch := make([]string, len(missing))
	for i, key := range missing {
		patch[i] = fmt.Sprintf("%q:\"...\"", key)
	}
	return fmt.Errorf(`the Secret %s/%s has no key %s: kubectl patch secret %s -n %s -p '{"stringData":{%s}}'`,
		of.namespace, of.name, strings.Join(missing, ", "), of.name, of.namespace, strings.Join(patch, ","))
}
