package knative

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"knative.dev/pkg/apis"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/infra/knative/manifest"
)

// Check is what would be refused, or taken and not work, of objects that are
// deployed together. All that is wrong is said at once, as *Error, a line each.
//
// It fills in the defaults of KafkaSources and KafkaSinks.
func Check(objects []Object) error {
	c := &checker{objects: objects, named: map[string]Object{}}
	for _, o := range objects {
		c.names(o)
	}
	for _, o := range objects {
		c.webhook(o)
		c.eventing(o)
		c.workload(o)
	}
	return errors.Join(c.errs...)
}

// checker collects what is wrong.
type checker struct {
	objects []Object
	named   map[string]Object // by id
	errs    []error
}

func (c *checker) fail(o Object, field, format string, args ...any) {
	c.errs = append(c.errs, o.Errorf(field, format, args...))
}

// names refuses names and labels that the API server would, and doubles.
func (c *checker) names(o Object) {
	if problems := validation.IsDNS1123Subdomain(o.Meta.GetName()); len(problems) > 0 {
		c.fail(o, "metadata.name", "%q: %s", o.Meta.GetName(), strings.Join(problems, "; "))
	}
	labels := o.Meta.GetLabels()
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		value := labels[key]
		if problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...); len(problems) > 0 {
			c.fail(o, "metadata.labels", "%s=%q: %s", key, value, strings.Join(problems, "; "))
		}
	}
	key := id(o.Group(), o.Kind, o.Meta.GetNamespace(), o.Meta.GetName())
	if first, ok := c.named[key]; ok {
		c.fail(o, "metadata.name", "already defined in %s, document %d", first.File, first.Document)
		return
	}
	c.named[key] = o
}

func id(group, kind, namespace, name string) string {
	return strings.Join([]string{group, kind, namespace, name}, " ")
}

// find is the object of that name, if the manifests have it.
func (c *checker) find(group, kind, namespace, name string) (Object, bool) {
	o, ok := c.named[id(group, kind, namespace, name)]
	return o, ok
}

// webhook is what Knative's webhooks do: defaults, then validation.
func (c *checker) webhook(o Object) {
	switch v := o.Value.(type) {
	case *servingv1.Service:
		ctx := apis.WithinCreate(context.Background())
		v = v.DeepCopy() // the defaults are the webhook's to write
		images(v)
		v.SetDefaults(ctx)
		for _, err := range v.Validate(ctx).Filter(apis.ErrorLevel).WrappedErrors() {
			c.fail(o, strings.Join(err.Paths, ", "), "%s", sentence(err))
		}
	case *manifest.KafkaSource:
		v.SetDefaults()
		c.errs = append(c.errs, o.Errors(v.Validate())...)
	case *manifest.KafkaSink:
		v.SetDefaults()
		c.errs = append(c.errs, o.Errors(v.Validate())...)
	case *manifest.SinkBinding:
		c.errs = append(c.errs, o.Errors(v.Validate())...)
	}
}

// images puts an image of some registry where ko will put one: a webhook is only
// ever asked after that, and refuses ko:// as no reference.
func images(s *servingv1.Service) {
	for i := range s.Spec.Template.Spec.Containers {
		if strings.HasPrefix(s.Spec.Template.Spec.Containers[i].Image, "ko://") {
			s.Spec.Template.Spec.Containers[i].Image = "registry.example/image@sha256:" + strings.Repeat("0", 64)
		}
	}
}

// sentence is the message and the details of Knative's error, on one line.
func sentence(err *apis.FieldError) string {
	if err.Details == "" {
		return err.Message
	}
	return err.Message + ": " + strings.ReplaceAll(strings.TrimSpace(err.Details), "\n", "; ")
}
