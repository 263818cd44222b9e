package manifest

import (
	"slices"
	"strings"

	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// SetDefaults fills in what Knative would.
func (s *KafkaSource) SetDefaults() {
	if s.Spec.ConsumerGroup == "" {
		s.Spec.ConsumerGroup = "knative-kafka-source-" + strings.ReplaceAll(Name(s), "/", "-")
	}
	if s.Spec.Consumers == nil {
		one := int32(1)
		s.Spec.Consumers = &one
	}
	setDefault(&s.Spec.InitialOffset, OffsetLatest)
	setDefault(&s.Spec.Ordering, OrderingOrdered)
}

// Validate is what Knative's webhook and its reconciler refuse of a KafkaSource
// that has its defaults.
func (s *KafkaSource) Validate() []Problem {
	problems := slices.Concat(
		present("spec.bootstrapServers", s.Spec.BootstrapServers...),
		present("spec.topics", s.Spec.Topics...),
	)
	if n := s.Spec.Consumers; n != nil && *n < 0 {
		problems = append(problems, problem("spec.consumers", "%d is negative", *n))
	}
	problems = append(problems, oneOf("spec.initialOffset", s.Spec.InitialOffset, OffsetLatest, OffsetEarliest)...)
	problems = append(problems, oneOf("spec.ordering", s.Spec.Ordering, OrderingOrdered, OrderingUnordered)...)
	if key, ok := s.Labels[KeyTypeLabel]; ok {
		problems = append(problems, oneOf("metadata.labels", key, "string", "int", "float", "byte-array")...)
	}
	problems = append(problems, destination("spec.sink", s.Spec.Sink)...)
	problems = append(problems, overrides(s.Spec.CloudEventOverrides)...)
	_, wrong := ReadDelivery(s.Spec.Delivery)
	for _, p := range wrong {
		problems = append(problems, Problem{"spec.delivery." + p.Field, p.Reason})
	}
	if d := s.Spec.Delivery; d != nil && d.DeadLetterSink != nil {
		problems = append(problems, destination("spec.delivery.deadLetterSink", *d.DeadLetterSink)...)
	}
	return append(problems, s.Spec.Net.validate()...)
}

// KeyTypeLabel is the label of a KafkaSource that says how keys are read.
const KeyTypeLabel = "kafkasources.sources.knative.dev/key-type"

// validate refuses references that are half there, and credentials that are
// ignored because what they are for is not enabled.
func (n *KafkaNet) validate() []Problem {
	var problems []Problem
	for field, key := range n.SecretKeys() {
		if key.SecretKeyRef == nil || key.SecretKeyRef.Name == "" || key.SecretKeyRef.Key == "" {
			problems = append(problems, problem(field, "secretKeyRef needs a name and a key"))
		}
	}
	if n == nil {
		return problems
	}
	if s := n.SASL; s != nil {
		switch {
		case !s.Enable && (s.User != nil || s.Password != nil || s.Type != nil):
			problems = append(problems, problem("spec.net.sasl.enable", "missing: the credentials are not used without"))
		case s.Enable && (s.User == nil || s.Password == nil):
			problems = append(problems, problem("spec.net.sasl", "SASL needs user and password"))
		}
	}
	if t := n.TLS; t != nil {
		switch {
		case !t.Enable && (t.Cert != nil || t.Key != nil || t.CACert != nil):
			problems = append(problems, problem("spec.net.tls.enable", "missing: the certificates are not used without"))
		case (t.Cert == nil) != (t.Key == nil):
			problems = append(problems, problem("spec.net.tls", "a client's certificate needs both cert and key"))
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Field, b.Field) })
	return problems
}

// SetDefaults fills in what the KafkaSink's schema does.
func (s *KafkaSink) SetDefaults() { setDefault(&s.Spec.ContentMode, ContentModeBinary) }

// Validate is what Knative's webhook refuses of a KafkaSink that has its
// defaults, and half a topic, which Knative takes for none.
func (s *KafkaSink) Validate() []Problem {
	problems := slices.Concat(
		present("spec.bootstrapServers", s.Spec.BootstrapServers...),
		present("spec.topic", s.Spec.Topic),
	)
	if n := s.Spec.NumPartitions; n != nil && *n < 1 {
		problems = append(problems, problem("spec.numPartitions", "%d is not above 0", *n))
	}
	if n := s.Spec.ReplicationFactor; n != nil && *n < 1 {
		problems = append(problems, problem("spec.replicationFactor", "%d is not above 0", *n))
	}
	if (s.Spec.NumPartitions == nil) != (s.Spec.ReplicationFactor == nil) {
		problems = append(problems, problem("spec.numPartitions", "a topic is created with both numPartitions and replicationFactor, or not at all"))
	}
	if a := s.Spec.Auth; a != nil && (a.Secret == nil || a.Secret.Ref == nil || a.Secret.Ref.Name == "") {
		problems = append(problems, problem("spec.auth.secret.ref", "missing: it names the Secret"))
	}
	return append(problems, oneOf("spec.contentMode", s.Spec.ContentMode, ContentModeBinary, ContentModeStructured)...)
}

// Validate is what Knative's webhook refuses of a SinkBinding.
func (b *SinkBinding) Validate() []Problem {
	var problems []Problem
	subject := b.Spec.Subject
	if subject.APIVersion == "" || subject.Kind == "" {
		problems = append(problems, problem("spec.subject", "apiVersion and kind are needed"))
	}
	if (subject.Name == "") == (subject.Selector == nil) {
		problems = append(problems, problem("spec.subject", "either a name or a selector is needed"))
	}
	if subject.Namespace != "" && subject.Namespace != b.Namespace {
		problems = append(problems, problem("spec.subject.namespace", "%q is not the binding's own namespace %q", subject.Namespace, b.Namespace))
	}
	problems = append(problems, destination("spec.sink", b.Spec.Sink)...)
	return append(problems, overrides(b.Spec.CloudEventOverrides)...)
}

// destination checks what can be told of a sink without looking for it.
func destination(field string, d duckv1.Destination) []Problem {
	switch {
	case d.Ref == nil && d.URI == nil:
		return []Problem{problem(field, "neither ref nor uri is given")}
	case d.Ref == nil:
		if u := d.URI.URL(); !u.IsAbs() || u.Host == "" {
			return []Problem{problem(field+".uri", "%q is not absolute, and there is no ref to resolve it by", d.URI)}
		}
	case d.URI != nil && d.URI.URL().IsAbs():
		return []Problem{problem(field+".uri", "%q is absolute although there is a ref", d.URI)}
	case d.Ref.Kind == "" || d.Ref.Name == "" || d.Ref.APIVersion == "":
		return []Problem{problem(field+".ref", "apiVersion, kind and name are needed")}
	}
	return nil
}

// overrides checks that what is added to events leaves them CloudEvents.
func overrides(o *duckv1.CloudEventOverrides) []Problem {
	if o == nil {
		return nil
	}
	var problems []Problem
	for name := range o.Extensions {
		if !attributeName(name) {
			problems = append(problems, problem("spec.ceOverrides.extensions", "%q is not lower-case letters and digits", name))
		}
	}
	return problems
}

// attributeName tells whether s may be the name of a CloudEvent's attribute.
func attributeName(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}

func setDefault(value *string, to string) {
	if *value == "" {
		*value = to
	}
}

func oneOf(field, value string, values ...string) []Problem {
	if slices.Contains(values, value) {
		return nil
	}
	return []Problem{problem(field, "%q is none of %s", value, strings.Join(values, ", "))}
}

func present(field string, values ...string) []Problem {
	if len(values) == 0 || slices.Contains(values, "") {
		return []Problem{problem(field, "missing")}
	}
	return nil
}
