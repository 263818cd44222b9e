package knative

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"

	duckv1 "knative.dev/pkg/apis/duck/v1"

	"tripcast.dev/infra/knative/manifest"
)

// scaling are the annotations of a KafkaSource that KEDA's numbers are made
// from. eventing-kafka-broker parses them when it reconciles, and no sooner.
var scaling = []string{"min-scale", "max-scale", "polling-interval", "cooldown-period", "lag-threshold", "activation-lag-threshold"}

const scalingPrefix = "autoscaling.eventing.knative.dev/"

// eventing is what the kinds of Kafka and SinkBinding may say and would not work,
// or would lose events.
func (c *checker) eventing(o Object) {
	switch v := o.Value.(type) {
	case *manifest.KafkaSource:
		c.servers(o, v.Spec.BootstrapServers)
		c.scale(o)
		c.destination(o, "spec.sink", v.Spec.Sink)
		keys := v.Spec.Net.SecretKeys()
		for _, field := range slices.Sorted(maps.Keys(keys)) {
			if ref := keys[field].SecretKeyRef; ref != nil {
				c.secretKey(o, field, ref.Name, ref.Key)
			}
		}
		d := v.Spec.Delivery
		switch {
		case d == nil || d.DeadLetterSink == nil:
			c.fail(o, "spec.delivery.deadLetterSink", "missing: an event that cannot be delivered would be lost")
			return
		case d.Retry == nil:
			c.fail(o, "spec.delivery.retry", "missing: a delivery without it is tried once")
		}
		c.destination(o, "spec.delivery.deadLetterSink", *d.DeadLetterSink)
	case *manifest.KafkaSink:
		c.servers(o, v.Spec.BootstrapServers)
		if a := v.Spec.Auth; a != nil && a.Secret != nil && a.Secret.Ref != nil {
			c.secretKey(o, "spec.auth.secret.ref", a.Secret.Ref.Name, "protocol")
		}
	case *manifest.SinkBinding:
		c.destination(o, "spec.sink", v.Spec.Sink)
		if s := v.Spec.Subject; s.Name != "" {
			c.reference(o, "spec.subject", s.APIVersion, s.Kind, o.Meta.GetNamespace(), s.Name)
		}
	}
}

// servers refuses what is taken for one address and is none: Knative's
// controllers dial each entry as it stands.
func (c *checker) servers(o Object, servers []string) {
	for i, s := range servers {
		if !isAddress(s) {
			c.fail(o, "spec.bootstrapServers["+strconv.Itoa(i)+"]", "%q is not host:port, one to an entry", s)
		}
	}
}

func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != ""
}

func (c *checker) scale(o Object) {
	annotations := o.Meta.GetAnnotations()
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		value := annotations[key]
		name, ok := strings.CutPrefix(key, scalingPrefix)
		switch {
		case !ok || name == "class":
		case !slices.Contains(scaling, name):
			c.fail(o, "metadata.annotations", "%s is none of %s", key, strings.Join(scaling, ", "))
		default:
			if n, err := strconv.ParseInt(value, 10, 32); err != nil || n < 0 {
				c.fail(o, "metadata.annotations", "%s: %q is not a whole number", key, value)
			}
		}
	}
}

func (c *checker) destination(o Object, field string, d duckv1.Destination) {
	if r := d.Ref; r != nil {
		namespace := r.Namespace
		if namespace == "" {
			namespace = o.Meta.GetNamespace()
		}
		c.reference(o, field+".ref", r.APIVersion, r.Kind, namespace, r.Name)
	}
}

func (c *checker) reference(o Object, field, apiVersion, kind, namespace, name string) {
	group, _, _ := strings.Cut(apiVersion, "/")
	if _, ok := c.find(group, kind, namespace, name); !ok {
		c.fail(o, field, "points to %s %s %s/%s, which no manifest defines", apiVersion, kind, namespace, name)
	}
}
