// Package manifest reads manifests as strictly as a cluster takes them: a field
// that is misspelt, doubled or of the wrong type is an error that names the file,
// the document, the object and the field.
//
// It has the kinds of eventing-kafka-broker and SinkBinding, and what Knative's
// webhooks say about them. It is light enough for the emulator, which reads the
// very files that are deployed; what else a cluster is given is in
// tripcast.dev/infra/knative.
package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Error is one thing wrong with one object of one file.
type Error struct {
	File     string
	Document int    // counted from 1; documents of comments alone do not count
	Object   string // "KafkaSource tripcast/features", empty if it cannot be told
	Field    string // path such as spec.delivery.retry, empty if the document cannot be read
	Reason   string
}

func (e *Error) Error() string {
	at := fmt.Sprintf("%s: document %d", e.File, e.Document)
	if e.Object != "" {
		at += " (" + e.Object + ")"
	}
	if e.Field != "" {
		at += ": " + e.Field
	}
	return at + ": " + e.Reason
}

// Problem is what is wrong with a field of an object, for the caller to say of
// which.
type Problem struct {
	Field  string
	Reason string
}

func problem(field, format string, args ...any) Problem {
	return Problem{field, fmt.Sprintf(format, args...)}
}

// Object is a decoded object and where it came from.
type Object struct {
	File     string
	Document int
	metav1.TypeMeta

	// Meta is the metadata of Value. The namespace of a namespaced object is
	// never empty.
	Meta metav1.Object

	// Value is what the Kinds made, filled in.
	Value any
}

// String is the kind and namespace/name.
func (o Object) String() string { return o.Kind + " " + Name(o.Meta) }

// Group is the API group, empty for the core one.
func (o Object) Group() string {
	group, _, found := strings.Cut(o.APIVersion, "/")
	if !found {
		return "" // the core group's apiVersion is a version alone
	}
	return group
}

// Errorf is an *Error about a field of o.
func (o Object) Errorf(field, format string, args ...any) *Error {
	return &Error{o.File, o.Document, o.String(), field, fmt.Sprintf(format, args...)}
}

// Errors are *Errors about the fields of o.
func (o Object) Errors(problems []Problem) []error {
	var errs []error
	for _, p := range problems {
		errs = append(errs, o.Errorf(p.Field, "%s", p.Reason))
	}
	return errs
}

// Name is an object's namespace/name, or its name if it lies in no namespace.
func Name(m metav1.Object) string {
	if m.GetNamespace() == "" {
		return m.GetName()
	}
	return m.GetNamespace() + "/" + m.GetName()
}

// Kinds makes an empty object of a kind, for Decode to fill in. It returns nil
// for a kind that is to be skipped; the error is the reason why there is none.
type Kinds func(apiVersion, kind string) (any, error)

// Decode reads a stream of YAML documents. It returns what it could read, and
// every *Error at once, joined.
func Decode(file string, stream []byte, kinds Kinds) ([]Object, error) {
	var (
		objects []Object
		errs    []error
		number  int
	)
	for _, document := range split(stream) {
		asJSON, err := yaml.YAMLToJSONStrict(document)
		if string(asJSON) == "null" { // comments alone
			continue
		}
		number++
		if err != nil {
			errs = append(errs, &Error{file, number, glimpse(document), "", oneLine(err)})
			continue
		}
		o, problems := decode(file, number, asJSON, kinds)
		errs = append(errs, problems...)
		if o != nil {
			objects = append(objects, *o)
		}
	}
	return objects, errors.Join(errs...)
}

// head is what all objects have.
type head struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

// object is an Object without a value, in the namespace that it will lie in.
func (h *head) object() Object {
	if h.Kind != "Namespace" {
		h.Namespace = cmp.Or(h.Namespace, metav1.NamespaceDefault)
	}
	return Object{TypeMeta: h.TypeMeta, Meta: &h.ObjectMeta}
}

// decode reads one object; it is nil if it cannot be read or is skipped.
func decode(file string, number int, asJSON []byte, kinds Kinds) (*Object, []error) {
	var h head
	if err := kjson.UnmarshalCaseSensitivePreserveInts(asJSON, &h); err != nil {
		return nil, []error{&Error{File: file, Document: number, Reason: err.Error()}}
	}
	o := h.object()
	o.File, o.Document = file, number
	into, err := kinds(o.APIVersion, o.Kind)
	if err != nil {
		return nil, []error{o.Errorf("apiVersion", "%v", err)}
	}
	if into == nil {
		return nil, nil
	}
	unknown, err := kjson.UnmarshalStrict(asJSON, into)
	if err != nil {
		return nil, []error{o.Errorf(fieldOf(err), "%v", err)}
	}
	var errs []error
	for _, err := range unknown {
		errs = append(errs, o.Errorf(fieldOf(err), "%v", err))
	}
	o.Value = into
	if o.Meta, err = meta.Accessor(into); err != nil {
		return nil, []error{o.Errorf("metadata", "%v", err)}
	}
	o.Meta.SetNamespace(h.Namespace)
	return &o, errs
}

// glimpse tells what object a document is that cannot be read as it should, and
// nothing if it cannot be read at all.
func glimpse(document []byte) string {
	var h head
	if err := yaml.Unmarshal(document, &h); err != nil || h.Kind == "" {
		return ""
	}
	return h.object().String()
}

// oneLine is an error of the YAML decoder, which lists what is wrong line by line.
func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// fieldOf finds the field in an error of sigs.k8s.io/json, which knows its path.
func fieldOf(err error) string {
	var field kjson.FieldError
	if errors.As(err, &field) {
		return field.FieldPath()
	}
	// A value of the wrong type: "cannot unmarshal string into Go struct field X.spec.topics of type []string".
	if _, rest, ok := strings.Cut(err.Error(), "Go struct field "); ok {
		name, _, _ := strings.Cut(rest, " ")
		if _, field, ok := strings.Cut(name, "."); ok {
			return field
		}
	}
	return ""
}

// split cuts a YAML stream into its documents.
func split(stream []byte) [][]byte {
	documents := [][]byte{nil}
	for line := range bytes.Lines(stream) {
		if string(bytes.TrimRight(line, " \t\r\n")) == "---" {
			documents = append(documents, nil)
			continue
		}
		last := &documents[len(documents)-1]
		*last = append(*last, line...)
	}
	return documents
}
