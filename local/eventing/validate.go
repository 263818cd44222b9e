package eventing

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/infra/knative/manifest"
)

// loader collects objects, and everything wrong with them.
type loader struct {
	objects   []manifest.Object
	manifests Manifests
	errs      []error
}

func (l *loader) fail(o manifest.Object, field, format string, args ...any) {
	l.errs = append(l.errs, o.Errorf(field, format, args...))
}

// validate fills in Knative's defaults, checks every object and follows the
// references between them.
func (l *loader) validate() {
	seen := map[string]string{}
	for _, o := range l.objects {
		if problems := validation.IsDNS1123Subdomain(o.Meta.GetName()); len(problems) > 0 {
			l.fail(o, "metadata.name", "%q: %s", o.Meta.GetName(), strings.Join(problems, "; "))
		}
		if first, ok := seen[o.String()]; ok {
			l.fail(o, "metadata.name", "already defined in %s", first)
		}
		seen[o.String()] = o.File

		switch v := o.Value.(type) {
		case *manifest.KafkaSource:
			v.SetDefaults()
			l.errs = append(l.errs, o.Errors(v.Validate())...)
			l.source(o, v)
			l.manifests.Sources = append(l.manifests.Sources, v)
		case *manifest.KafkaSink:
			v.SetDefaults()
			l.errs = append(l.errs, o.Errors(v.Validate())...)
			l.manifests.Sinks = append(l.manifests.Sinks, v)
		case *manifest.SinkBinding:
			l.errs = append(l.errs, o.Errors(v.Validate())...)
			l.binding(o, v)
			l.manifests.Bindings = append(l.manifests.Bindings, v)
		case *servingv1.Service:
			l.manifests.Services = append(l.manifests.Services, v)
		}
	}
	l.groups()
}

func (l *loader) source(o manifest.Object, s *manifest.KafkaSource) {
	if key, ok := s.Labels[manifest.KeyTypeLabel]; ok && key != "string" {
		l.fail(o, "metadata.labels", "key-type %q is not emulated: keys are strings", key)
	}
	l.destination(o, "spec.sink", s.Spec.Sink)
	if s.Spec.Delivery == nil || s.Spec.Delivery.DeadLetterSink == nil {
		// Knative does not ask for one, and then commits what it could not
		// deliver: lost without a trace.
		l.fail(o, "spec.delivery.deadLetterSink", "missing: an event that cannot be delivered would be lost")
		return
	}
	l.destination(o, "spec.delivery.deadLetterSink", *s.Spec.Delivery.DeadLetterSink)
}

func (l *loader) binding(o manifest.Object, b *manifest.SinkBinding) {
	subject := b.Spec.Subject
	switch {
	case subject.Selector != nil:
		l.fail(o, "spec.subject.selector", "selectors are not emulated: name the Service")
	case subject.APIVersion != manifest.ServingV1 || subject.Kind != "Service":
		l.fail(o, "spec.subject", "%s %s is not emulated: only %s Service is run here", subject.APIVersion, subject.Kind, manifest.ServingV1)
	case !l.exists("Service", b.Namespace+"/"+subject.Name):
		l.fail(o, "spec.subject", "points to Service %s/%s, which no manifest defines", b.Namespace, subject.Name)
	}
	for _, other := range l.objects {
		if c, ok := other.Value.(*manifest.SinkBinding); ok && c != b &&
			c.Namespace == b.Namespace && c.Spec.Subject.Name == subject.Name && c.Name < b.Name {
			l.fail(o, "spec.subject", "Service %s already has its K_SINK from SinkBinding %s", subject.Name, c.Name)
		}
	}
	l.destination(o, "spec.sink", b.Spec.Sink)
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

// destination checks that a sink is one that is run here.
func (l *loader) destination(o manifest.Object, field string, d duckv1.Destination) {
	switch {
	case d.CACerts != nil:
		l.fail(o, field+".CACerts", "TLS to sinks is not emulated")
	case d.Audience != nil:
		l.fail(o, field+".audience", "OIDC is not emulated")
	case d.Ref != nil:
		l.reference(o, field+".ref", d.Ref)
	}
}

func (l *loader) reference(o manifest.Object, field string, ref *duckv1.KReference) {
	if ref.Namespace == "" {
		ref.Namespace = o.Meta.GetNamespace()
	}
	switch ref.APIVersion + " " + ref.Kind {
	case manifest.ServingV1 + " Service", manifest.KafkaEventingV1 + " KafkaSink":
		if target := ref.Namespace + "/" + ref.Name; !l.exists(ref.Kind, target) {
			l.fail(o, field, "points to %s %s, which no manifest defines", ref.Kind, target)
		}
	default:
		l.fail(o, field, "points to %s %s %s/%s, which is not emulated: only %s Service and %s KafkaSink are",
			ref.APIVersion, ref.Kind, ref.Namespace, ref.Name, manifest.ServingV1, manifest.KafkaEventingV1)
	}
}

func (l *loader) exists(kind, name string) bool {
	return slices.ContainsFunc(l.objects, func(o manifest.Object) bool {
		return o.Kind == kind && manifest.Name(o.Meta) == name
	})
}

func (l *loader) objectOf(value any) manifest.Object {
	return l.objects[slices.IndexFunc(l.objects, func(o manifest.Object) bool { return o.Value == value })]
}
