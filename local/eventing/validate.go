package eventing

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	duckv1 "knative.dev/pkg/apis/duck/v1"
)

// The kinds a reference may point to.
const (
	serviceAPIVersion   = "serving.knative.dev/v1"
	kafkaSinkAPIVersion = "eventing.knative.dev/v1alpha1"
)

// validate checks every object, fills in Knative's defaults and then follows
// the references between them.
func (l *loader) validate() {
	seen := map[string]string{}
	for _, o := range l.objects {
		if problems := validation.IsDNS1123Subdomain(o.meta.Name); len(problems) > 0 {
			l.fail(o, "metadata.name", "%q: %s", o.meta.Name, strings.Join(problems, "; "))
		}
		if first, ok := seen[o.String()]; ok {
			l.fail(o, "metadata.name", "already defined in %s", first)
		}
		seen[o.String()] = o.file

		switch decoded := o.decoded.(type) {
		case *KafkaSource:
			l.source(o, &decoded.Spec)
		case *KafkaSink:
			l.sink(o, &decoded.Spec)
		case *SinkBinding:
			l.binding(o, &decoded.Spec)
		}
	}
	l.groups()
}

func (l *loader) source(o object, spec *KafkaSourceSpec) {
	l.present(o, "spec.bootstrapServers", spec.BootstrapServers)
	l.present(o, "spec.topics", spec.Topics)
	if spec.ConsumerGroup == "" {
		spec.ConsumerGroup = "knative-kafka-source-" + strings.ReplaceAll(qualified(o.meta), "/", "-")
	}
	if spec.Consumers == nil {
		one := int32(1)
		spec.Consumers = &one
	}
	if *spec.Consumers < 0 {
		l.fail(o, "spec.consumers", "%d is negative", *spec.Consumers)
	}
	l.enum(o, "spec.initialOffset", &spec.InitialOffset, OffsetLatest, OffsetEarliest)
	l.enum(o, "spec.ordering", &spec.Ordering, OrderingOrdered, OrderingUnordered)
	if key, ok := o.meta.Labels["kafkasources.sources.knative.dev/key-type"]; ok && key != "string" {
		l.fail(o, "metadata.labels", "key-type %q is not emulated: keys are strings", key)
	}
	l.destination(o, "spec.sink", spec.Sink)
	l.overrides(o, spec.CloudEventOverrides)

	if _, err := newDelivery(spec.Delivery); err != nil {
		l.fail(o, "spec.delivery."+err.field, "%s", err.reason)
	}
	if spec.Delivery == nil || spec.Delivery.DeadLetterSink == nil {
		// Knative does not ask for one, and then commits what it could not
		// deliver: lost without a trace.
		l.fail(o, "spec.delivery.deadLetterSink", "missing: an event that cannot be delivered would be lost")
		return
	}
	l.destination(o, "spec.delivery.deadLetterSink", *spec.Delivery.DeadLetterSink)
}

func (l *loader) sink(o object, spec *KafkaSinkSpec) {
	l.present(o, "spec.bootstrapServers", spec.BootstrapServers)
	if spec.Topic == "" {
		l.fail(o, "spec.topic", "missing")
	}
	if n := spec.NumPartitions; n != nil && *n < 1 {
		l.fail(o, "spec.numPartitions", "%d is not above 0", *n)
	}
	if n := spec.ReplicationFactor; n != nil && *n < 1 {
		l.fail(o, "spec.replicationFactor", "%d is not above 0", *n)
	}
	if (spec.NumPartitions == nil) != (spec.ReplicationFactor == nil) {
		l.fail(o, "spec.numPartitions", "a topic is created with both numPartitions and replicationFactor, or not at all")
	}
	l.enum(o, "spec.contentMode", &spec.ContentMode, ContentModeBinary, ContentModeStructured)
}

func (l *loader) binding(o object, spec *SinkBindingSpec) {
	subject := spec.Subject
	switch {
	case subject.Selector != nil:
		l.fail(o, "spec.subject.selector", "selectors are not emulated: name the Service")
	case subject.APIVersion != serviceAPIVersion || subject.Kind != "Service":
		l.fail(o, "spec.subject", "%s %s is not emulated: only %s Service is run here", subject.APIVersion, subject.Kind, serviceAPIVersion)
	case subject.Namespace != "" && subject.Namespace != o.meta.Namespace:
		l.fail(o, "spec.subject.namespace", "%q is not the binding's own namespace %q", subject.Namespace, o.meta.Namespace)
	case !l.exists("Service", o.meta.Namespace+"/"+subject.Name):
		l.fail(o, "spec.subject", "points to Service %s/%s, which no manifest defines", o.meta.Namespace, subject.Name)
	}
	for _, other := range l.objects {
		if b, ok := other.decoded.(*SinkBinding); ok && &b.Spec != spec &&
			b.Namespace == o.meta.Namespace && b.Spec.Subject.Name == subject.Name && b.Name < o.meta.Name {
			l.fail(o, "spec.subject", "Service %s already has its K_SINK from SinkBinding %s", subject.Name, b.Name)
		}
	}
	l.destination(o, "spec.sink", spec.Sink)
	l.overrides(o, spec.CloudEventOverrides)
}

// overrides checks that what is added to events leaves them CloudEvents.
func (l *loader) overrides(o object, overrides *duckv1.CloudEventOverrides) {
	if overrides == nil {
		return
	}
	for name := range overrides.Extensions {
		if !attributeName(name) {
			l.fail(o, "spec.ceOverrides.extensions", "%q is not lower-case letters and digits", name)
		}
	}
}

// groups refuses two sources that would take records from each other.
func (l *loader) groups() {
	for i, a := range l.manifests.Sources {
		for _, b := range l.manifests.Sources[:i] {
			if a.Spec.ConsumerGroup != b.Spec.ConsumerGroup {
				continue
			}
			for _, topic := range a.Spec.Topics {
				if slices.Contains(b.Spec.Topics, topic) {
					l.fail(l.objectOf(a), "spec.consumerGroup", "%s shares it and topic %s: each would get a part of the records", l.objectOf(b), topic)
				}
			}
		}
	}
}

// destination checks that a sink leads to something that is there.
func (l *loader) destination(o object, field string, d duckv1.Destination) {
	switch {
	case d.Ref == nil && d.URI == nil:
		l.fail(o, field, "neither ref nor uri is given")
	case d.CACerts != nil:
		l.fail(o, field+".CACerts", "TLS to sinks is not emulated")
	case d.Audience != nil:
		l.fail(o, field+".audience", "OIDC is not emulated")
	case d.Ref == nil:
		if u := d.URI.URL(); !u.IsAbs() || u.Host == "" {
			l.fail(o, field+".uri", "%q is not absolute, and there is no ref to resolve it by", d.URI)
		}
	case d.URI != nil && d.URI.URL().IsAbs():
		l.fail(o, field+".uri", "%q is absolute although there is a ref", d.URI)
	default:
		l.reference(o, field+".ref", d.Ref)
	}
}

func (l *loader) reference(o object, field string, ref *duckv1.KReference) {
	if ref.Namespace == "" {
		ref.Namespace = o.meta.Namespace
	}
	switch ref.APIVersion + " " + ref.Kind {
	case serviceAPIVersion + " Service", kafkaSinkAPIVersion + " KafkaSink":
		if target := ref.Namespace + "/" + ref.Name; !l.exists(ref.Kind, target) {
			l.fail(o, field, "points to %s %s, which no manifest defines", ref.Kind, target)
		}
	default:
		l.fail(o, field, "points to %s %s %s/%s, which is not emulated: only %s Service and %s KafkaSink are",
			ref.APIVersion, ref.Kind, ref.Namespace, ref.Name, serviceAPIVersion, kafkaSinkAPIVersion)
	}
}

func (l *loader) exists(kind, name string) bool {
	return slices.ContainsFunc(l.objects, func(o object) bool {
		return o.kind == kind && qualified(o.meta) == name
	})
}

func (l *loader) objectOf(decoded any) object {
	return l.objects[slices.IndexFunc(l.objects, func(o object) bool { return o.decoded == decoded })]
}

// enum fills in the default, which is the first of the values, and refuses what
// is none of them.
func (l *loader) enum(o object, field string, value *string, values ...string) {
	if *value == "" {
		*value = values[0]
	}
	if !slices.Contains(values, *value) {
		l.fail(o, field, "%q is none of %s", *value, strings.Join(values, ", "))
	}
}

func (l *loader) present(o object, field string, values []string) {
	if len(values) == 0 || slices.Contains(values, "") {
		l.fail(o, field, "missing")
	}
}
