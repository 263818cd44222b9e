package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// partOf is the label that all objects of ours carry.
const (
	partOf   = "app.kubernetes.io/part-of"
	tripcast = "tripcast"
)

// object is one Kubernetes object, of whatever kind.
type object = *unstructured.Unstructured

// id is what an object is known by. The version is not part of it: the same
// object can be read in several.
type id struct {
	schema.GroupKind
	namespace, name string
}

func idOf(o object) id {
	return id{o.GroupVersionKind().GroupKind(), o.GetNamespace(), o.GetName()}
}

// String is the id as people read it: Job tripcast/setup.
func (i id) String() string {
	if i.namespace == "" {
		return i.Kind + " " + i.name
	}
	return i.Kind + " " + i.namespace + "/" + i.name
}

// argument is the id as kubectl takes it: job.batch/setup.
func (i id) argument() string {
	if i.Group == "" {
		return strings.ToLower(i.Kind) + "/" + i.name
	}
	return strings.ToLower(i.Kind) + "." + i.Group + "/" + i.name
}

// set is what is deployed, in the order of its manifests.
type set []object

// decode reads a stream of YAML documents.
func decode(stream []byte) (set, error) {
	var s set
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(stream)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		asJSON, err := yaml.YAMLToJSON(document)
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		if string(asJSON) == "null" { // comments alone
			continue
		}
		o, err := one(asJSON)
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		s = append(s, o)
	}
}

// one reads an object from JSON, its numbers as Kubernetes has them: int64 where
// they are whole.
func one(asJSON []byte) (object, error) {
	o := &unstructured.Unstructured{}
	return o, o.UnmarshalJSON(asJSON)
}

// several reads what kubectl get prints of several objects.
func several(asJSON []byte) ([]object, error) {
	var list unstructured.UnstructuredList
	if err := list.UnmarshalJSON(asJSON); err != nil {
		return nil, err
	}
	objects := make([]object, len(list.Items))
	for i := range list.Items {
		objects[i] = &list.Items[i]
	}
	return objects, nil
}

// encode is the reverse of decode.
func (s set) encode() ([]byte, error) {
	var stream bytes.Buffer
	for _, o := range s {
		document, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", idOf(o), err)
		}
		stream.WriteString("---\n")
		stream.Write(document)
	}
	return stream.Bytes(), nil
}

// ids are the ids of a set.
func (s set) ids() map[id]object {
	ids := make(map[id]object, len(s))
	for _, o := range s {
		ids[idOf(o)] = o
	}
	return ids
}

// split separates the namespaces from what lies in them.
func (s set) split() (namespaces, rest set) {
	for _, o := range s {
		if idOf(o).GroupKind == (schema.GroupKind{Kind: "Namespace"}) {
			namespaces = append(namespaces, o)
		} else {
			rest = append(rest, o)
		}
	}
	return namespaces, rest
}

// namespaces are the names of those that the set makes or uses.
func (s set) namespaces() []string {
	names := map[string]bool{}
	own, rest := s.split()
	for _, o := range own {
		names[o.GetName()] = true
	}
	for _, o := range rest {
		names[o.GetNamespace()] = true
	}
	delete(names, "")
	return slices.Sorted(maps.Keys(names))
}

// homeless are the mistakes that would let kubectl or a later deployment lose
// sight of an object: no namespace puts it wherever the user's context points,
// and without our label it is not found again.
func (s set) homeless() error {
	var errs []error
	for _, o := range s {
		i := idOf(o)
		if i.namespace == "" && i.Kind != "Namespace" {
			errs = append(errs, fmt.Errorf("%s: metadata.namespace is missing", i))
		}
		if o.GetLabels()[partOf] != tripcast {
			errs = append(errs, fmt.Errorf("%s: the label %s: %s is missing", i, partOf, tripcast))
		}
	}
	return errors.Join(errs...)
}

// byID orders objects for people.
func byID(a, b object) int {
	return cmp.Compare(idOf(a).String(), idOf(b).String())
}
