package eventing

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// The values of the fields that take one of a few.
const (
	OrderingOrdered   = "ordered"
	OrderingUnordered = "unordered"

	OffsetEarliest = "earliest"
	OffsetLatest   = "latest"

	ContentModeBinary     = "binary"
	ContentModeStructured = "structured"
)

// KafkaSource is sources.knative.dev/v1 KafkaSource. Its Go type lives in a
// module that the Go proxy does not serve, so its fields are written out here
// on the types that Knative shares between all sources.
type KafkaSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KafkaSourceSpec `json:"spec"`
}

// KafkaSourceSpec is what a KafkaSource may say, with Knative's defaults filled
// in by Load.
type KafkaSourceSpec struct {
	duckv1.SourceSpec `json:",inline"` // sink, ceOverrides

	BootstrapServers []string `json:"bootstrapServers"`
	Topics           []string `json:"topics"`

	// ConsumerGroup defaults to knative-kafka-source-<namespace>-<name>.
	// Knative makes up a random one, which a laptop would not find again.
	ConsumerGroup string `json:"consumerGroup,omitempty"`

	// Consumers defaults to 1; 0 pauses the source.
	Consumers *int32 `json:"consumers,omitempty"`

	InitialOffset string `json:"initialOffset,omitempty"` // default latest
	Ordering      string `json:"ordering,omitempty"`      // default ordered

	// Delivery has no default but for being absent: see delivery.
	Delivery *eventingduckv1.DeliverySpec `json:"delivery,omitempty"`

	// Net holds references to credentials in Secrets. There are no Secrets
	// here: Config.KafkaOptions carries the credentials instead.
	Net *KafkaNet `json:"net,omitempty"`
}

// KafkaNet says how a KafkaSource authenticates.
type KafkaNet struct {
	SASL *struct {
		Enable   bool       `json:"enable,omitempty"`
		User     *SecretKey `json:"user,omitempty"`
		Password *SecretKey `json:"password,omitempty"`
		Type     *SecretKey `json:"type,omitempty"`
	} `json:"sasl,omitempty"`
	TLS *struct {
		Enable bool       `json:"enable,omitempty"`
		Cert   *SecretKey `json:"cert,omitempty"`
		Key    *SecretKey `json:"key,omitempty"`
		CACert *SecretKey `json:"caCert,omitempty"`
	} `json:"tls,omitempty"`
}

// SecretKey is a key of a Secret.
type SecretKey struct {
	SecretKeyRef *struct {
		Name     string `json:"name"`
		Key      string `json:"key"`
		Optional *bool  `json:"optional,omitempty"`
	} `json:"secretKeyRef,omitempty"`
}

// KafkaSink is eventing.knative.dev/v1alpha1 KafkaSink.
type KafkaSink struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec KafkaSinkSpec `json:"spec"`
}

// KafkaSinkSpec is what a KafkaSink may say, with Knative's defaults filled in
// by Load.
type KafkaSinkSpec struct {
	BootstrapServers []string `json:"bootstrapServers"`
	Topic            string   `json:"topic"`

	// NumPartitions and ReplicationFactor are for a topic that does not exist
	// yet. Without them it has to.
	NumPartitions     *int32 `json:"numPartitions,omitempty"`
	ReplicationFactor *int16 `json:"replicationFactor,omitempty"`

	ContentMode string `json:"contentMode,omitempty"` // default binary

	// Auth refers to a Secret: Config.KafkaOptions stands in for it.
	Auth *struct {
		Secret *struct {
			Ref *struct {
				Name string `json:"name"`
			} `json:"ref,omitempty"`
		} `json:"secret,omitempty"`
	} `json:"auth,omitempty"`
}

// SinkBinding is sources.knative.dev/v1 SinkBinding. Knative's own Go type
// would bring client-go with it, so its two halves are joined here again.
type SinkBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec SinkBindingSpec `json:"spec"`
}

// SinkBindingSpec is a source's half (sink, ceOverrides) and a binding's
// (subject).
type SinkBindingSpec struct {
	duckv1.SourceSpec  `json:",inline"`
	duckv1.BindingSpec `json:",inline"`
}

// Manifests are the Knative objects of a folder, in the order of its files.
type Manifests struct {
	Sources  []*KafkaSource
	Sinks    []*KafkaSink
	Bindings []*SinkBinding
	Services []*servingv1.Service
}

// ManifestError is one thing wrong with one object of one file.
type ManifestError struct {
	File     string
	Document int    // counted from 1
	Object   string // "KafkaSource tripcast/features", empty if it cannot be told
	Field    string // path such as spec.delivery.retry, empty if the document cannot be read
	Reason   string
}

func (e *ManifestError) Error() string {
	at := fmt.Sprintf("%s: document %d", e.File, e.Document)
	if e.Object != "" {
		at += " (" + e.Object + ")"
	}
	if e.Field != "" {
		at += ": " + e.Field
	}
	return at + ": " + e.Reason
}

// Load reads the manifests at the root of fsys, every *.yaml but
// kustomization.yaml, as the API server and Knative's webhooks would take them:
// unknown and doubled fields, values outside of their enum and references that
// point nowhere are errors, all of them returned at once as *ManifestError.
//
// Kubernetes' own kinds are skipped: a laptop has no namespaces, secrets or
// network policies. A Knative kind that is not emulated is an error, since
// leaving it out would change what happens to events.
func Load(fsys fs.FS) (*Manifests, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing manifests: %w", err)
	}
	l := &loader{}
	for _, name := range names {
		if path.Base(name) == "kustomization.yaml" {
			continue
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("reading manifests: %w", err)
		}
		l.file(name, content)
	}
	if len(l.objects) == 0 && len(l.errs) == 0 {
		return nil, errors.New("loading manifests: the folder holds no Knative object")
	}
	if len(l.errs) == 0 { // references of half-read objects would only repeat what is wrong
		l.validate()
	}
	if len(l.errs) > 0 {
		return nil, errors.Join(l.errs...)
	}
	return &l.manifests, nil
}

// object is a decoded object and where it came from.
type object struct {
	file     string
	document int
	kind     string
	meta     *metav1.ObjectMeta
	decoded  any
}

func (o object) String() string { return o.kind + " " + qualified(o.meta) }

// loader collects objects, and everything wrong with them.
type loader struct {
	objects   []object
	manifests Manifests
	errs      []error
}

func (l *loader) fail(o object, field, format string, args ...any) {
	l.errs = append(l.errs, &ManifestError{o.file, o.document, o.String(), field, fmt.Sprintf(format, args...)})
}

func (l *loader) file(name string, content []byte) {
	number := 0
	for _, doc := range split(content) {
		asJSON, err := yaml.YAMLToJSONStrict(doc)
		if string(asJSON) == "null" { // comments alone
			continue
		}
		number++
		if err != nil {
			l.errs = append(l.errs, &ManifestError{File: name, Document: number, Reason: err.Error()})
			continue
		}
		l.document(name, number, asJSON)
	}
}

// skipped are the API groups whose objects mean nothing to events.
var skipped = []string{
	"", "apps", "autoscaling", "batch", "keda.sh", "kustomize.config.k8s.io",
	"networking.k8s.io", "policy", "rbac.authorization.k8s.io",
}

func (l *loader) document(file string, number int, asJSON []byte) {
	var head struct {
		metav1.TypeMeta   `json:",inline"`
		metav1.ObjectMeta `json:"metadata"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(asJSON, &head); err != nil {
		l.errs = append(l.errs, &ManifestError{File: file, Document: number, Reason: err.Error()})
		return
	}
	o := object{file: file, document: number, kind: head.Kind, meta: &head.ObjectMeta}
	group, _, _ := strings.Cut(head.APIVersion, "/")
	if !strings.Contains(head.APIVersion, "/") {
		group = "" // the core group's apiVersion is a version alone
	}
	switch head.APIVersion + " " + head.Kind {
	case "sources.knative.dev/v1 KafkaSource":
		l.manifests.Sources = decode(l, o, asJSON, l.manifests.Sources, func(s *KafkaSource) *metav1.ObjectMeta { return &s.ObjectMeta })
	case "eventing.knative.dev/v1alpha1 KafkaSink":
		l.manifests.Sinks = decode(l, o, asJSON, l.manifests.Sinks, func(s *KafkaSink) *metav1.ObjectMeta { return &s.ObjectMeta })
	case "sources.knative.dev/v1 SinkBinding":
		l.manifests.Bindings = decode(l, o, asJSON, l.manifests.Bindings, func(s *SinkBinding) *metav1.ObjectMeta { return &s.ObjectMeta })
	case "serving.knative.dev/v1 Service":
		l.manifests.Services = decode(l, o, asJSON, l.manifests.Services, func(s *servingv1.Service) *metav1.ObjectMeta { return &s.ObjectMeta })
	default:
		if !slices.Contains(skipped, group) || head.Kind == "" {
			l.fail(o, "apiVersion", "%q %q is not emulated", head.APIVersion, head.Kind)
		}
	}
}

// decode reads one object strictly and appends it.
func decode[T any](l *loader, o object, asJSON []byte, to []*T, meta func(*T) *metav1.ObjectMeta) []*T {
	into := new(T)
	unknown, err := kjson.UnmarshalStrict(asJSON, into)
	if err != nil {
		l.fail(o, fieldOf(err), "%v", err)
		return to
	}
	for _, err := range unknown {
		l.fail(o, fieldOf(err), "%v", err)
	}
	o.meta, o.decoded = meta(into), into
	if o.meta.Namespace == "" {
		o.meta.Namespace = metav1.NamespaceDefault
	}
	l.objects = append(l.objects, o)
	return append(to, into)
}

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

// qualified is an object's namespace/name.
func qualified(meta *metav1.ObjectMeta) string {
	return cmp.Or(meta.Namespace, metav1.NamespaceDefault) + "/" + meta.Name
}
