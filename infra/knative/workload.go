package knative

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/infra/knative/manifest"
)

// brought are the keys of the Secrets that a deployment may take for given: they
// are made by whoever owns the servers, or in the case of monitor by who wants to
// do more than look. Those of kafka are Knative's own.
var brought = map[string][]string{
	"redis":       {"url"},
	"materialize": {"url"},
	"monitor":     {"token"},
	"kafka":       {"protocol", "sasl.mechanism", "user", "password", "ca.crt", "user.crt", "user.key"},
}

// pods are the pods that an object makes.
type pods struct {
	at     string // where their template is
	labels map[string]string
	spec   *corev1.PodSpec
}

// podsOf tells what pods an object makes, false if it makes none.
func podsOf(o Object) (pods, bool) {
	switch v := o.Value.(type) {
	case *appsv1.Deployment:
		return pods{"spec.template", v.Spec.Template.Labels, &v.Spec.Template.Spec}, true
	case *appsv1.StatefulSet:
		return pods{"spec.template", v.Spec.Template.Labels, &v.Spec.Template.Spec}, true
	case *batchv1.Job:
		return pods{"spec.template", v.Spec.Template.Labels, &v.Spec.Template.Spec}, true
	case *servingv1.Service:
		return pods{"spec.template", v.Spec.Template.Labels, &v.Spec.Template.Spec.PodSpec}, true
	}
	return pods{}, false
}

// container is one of a pod and where it is in the manifest.
type container struct {
	at string
	*corev1.Container
	init bool
}

func (p pods) containers() []container {
	var all []container
	for i := range p.spec.InitContainers {
		all = append(all, container{fmt.Sprintf("%s.spec.initContainers[%d]", p.at, i), &p.spec.InitContainers[i], true})
	}
	for i := range p.spec.Containers {
		all = append(all, container{fmt.Sprintf("%s.spec.containers[%d]", p.at, i), &p.spec.Containers[i], false})
	}
	return all
}

// workload checks the pods of an object: what they refer to is there, and the
// namespace would let them in.
func (c *checker) workload(o Object) {
	p, ok := podsOf(o)
	if !ok {
		return
	}
	switch v := o.Value.(type) {
	case *appsv1.Deployment:
		c.selects(o, v.Spec.Selector, p)
	case *appsv1.StatefulSet:
		c.selects(o, v.Spec.Selector, p)
	case *batchv1.Job:
		if r := p.spec.RestartPolicy; r != corev1.RestartPolicyNever && r != corev1.RestartPolicyOnFailure {
			c.fail(o, p.at+".spec.restartPolicy", "%q is none of Never, OnFailure, which are what a Job may have", r)
		}
	}
	if name := p.spec.ServiceAccountName; name != "" {
		if _, ok := c.find("", "ServiceAccount", o.Meta.GetNamespace(), name); !ok {
			c.fail(o, p.at+".spec.serviceAccountName", "points to ServiceAccount %s, which no manifest defines", name)
		}
	}
	volumes := c.volumes(o, p)
	for _, each := range p.containers() {
		if each.Image == "" {
			c.fail(o, each.at+".image", "missing")
		}
		for _, m := range each.VolumeMounts {
			if !slices.Contains(volumes, m.Name) {
				c.fail(o, each.at+".volumeMounts", "%s: the pod has no volume %q", m.MountPath, m.Name)
			}
		}
		c.environment(o, each)
		c.ports(o, each)
	}
	c.errs = append(c.errs, o.Errors(restricted(p))...)
}

func (c *checker) selects(o Object, selector *metav1.LabelSelector, p pods) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		c.fail(o, "spec.selector", "%v", err)
	} else if s.Empty() || !s.Matches(labels.Set(p.labels)) {
		c.fail(o, "spec.selector", "does not match the labels of the template")
	}
}

// volumes are the names of a pod's volumes, those of claims included.
func (c *checker) volumes(o Object, p pods) []string {
	var names []string
	if s, ok := o.Value.(*appsv1.StatefulSet); ok {
		for _, claim := range s.Spec.VolumeClaimTemplates {
			names = append(names, claim.Name)
		}
	}
	for i, v := range p.spec.Volumes {
		names = append(names, v.Name)
		field := fmt.Sprintf("%s.spec.volumes[%d]", p.at, i)
		if m := v.ConfigMap; m != nil && !isTrue(m.Optional) {
			c.configMap(o, field+".configMap", m.Name, "")
		}
		if s := v.Secret; s != nil && !isTrue(s.Optional) {
			c.secretKey(o, field+".secret", s.SecretName, "")
		}
		if claim := v.PersistentVolumeClaim; claim != nil {
			if _, ok := c.find("", "PersistentVolumeClaim", o.Meta.GetNamespace(), claim.ClaimName); !ok {
				c.fail(o, field+".persistentVolumeClaim", "points to PersistentVolumeClaim %s, which no manifest defines", claim.ClaimName)
			}
		}
	}
	return names
}

func isTrue(b *bool) bool { return b != nil && *b }

// environment follows the references of a container's variables, and refuses a
// broker that is another than Knative's.
func (c *checker) environment(o Object, each container) {
	for i, e := range each.Env {
		field := fmt.Sprintf("%s.env[%d]", each.at, i)
		if e.Name == "KAFKA_BROKERS" && e.Value != "" {
			c.brokers(o, field, e.Value)
		}
		if e.ValueFrom == nil {
			continue
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil {
			if _, ours := c.find("", "Secret", o.Meta.GetNamespace(), r.Name); !ours || !isTrue(r.Optional) {
				c.secretKey(o, field+".valueFrom.secretKeyRef", r.Name, r.Key)
			}
		}
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil && !isTrue(r.Optional) {
			c.configMap(o, field+".valueFrom.configMapKeyRef", r.Name, r.Key)
		}
	}
}

// brokers holds what a container is told to what KafkaSources and KafkaSinks are.
func (c *checker) brokers(o Object, field, value string) {
	given := strings.Split(value, ",")
	for _, other := range c.objects {
		var servers []string
		switch v := other.Value.(type) {
		case *manifest.KafkaSource:
			servers = v.Spec.BootstrapServers
		case *manifest.KafkaSink:
			servers = v.Spec.BootstrapServers
		default:
			continue
		}
		if slices.ContainsFunc(servers, func(s string) bool { return !isAddress(s) }) {
			continue // which is said there
		}
		if !slices.Equal(given, servers) {
			c.fail(o, field, "%s is not where %s finds Kafka, %s", value, other, strings.Join(servers, ","))
			return
		}
	}
}

// ports refuses a probe of a port that has no such name: the API server does not.
func (c *checker) ports(o Object, each container) {
	probes := []struct {
		name  string
		probe *corev1.Probe
	}{{"startupProbe", each.StartupProbe}, {"readinessProbe", each.ReadinessProbe}, {"livenessProbe", each.LivenessProbe}}
	for _, p := range probes {
		name, probe := p.name, p.probe
		if probe == nil {
			continue
		}
		var port intstr.IntOrString
		switch {
		case probe.HTTPGet != nil:
			port = probe.HTTPGet.Port
		case probe.TCPSocket != nil:
			port = probe.TCPSocket.Port
		}
		if port.Type == intstr.String && port.StrVal != "" && !slices.ContainsFunc(each.Ports, func(p corev1.ContainerPort) bool { return p.Name == port.StrVal }) {
			c.fail(o, each.at+"."+name, "the container has no port %q", port.StrVal)
		}
	}
}

func (c *checker) configMap(o Object, field, name, key string) {
	found, ok := c.find("", "ConfigMap", o.Meta.GetNamespace(), name)
	if !ok {
		c.fail(o, field, "points to ConfigMap %s, which no manifest defines", name)
		return
	}
	m := found.Value.(*corev1.ConfigMap)
	_, text := m.Data[key]
	_, binary := m.BinaryData[key]
	if key != "" && !text && !binary {
		c.fail(o, field, "ConfigMap %s has no key %s", name, key)
	}
}

// secretKey checks a reference to a Secret: of the manifests, or of those that
// are brought.
func (c *checker) secretKey(o Object, field, name, key string) {
	var keys []string
	if found, ok := c.find("", "Secret", o.Meta.GetNamespace(), name); ok {
		s := found.Value.(*corev1.Secret)
		keys = slices.AppendSeq(slices.Collect(maps.Keys(s.Data)), maps.Keys(s.StringData))
	} else if keys, ok = brought[name]; !ok {
		c.fail(o, field, "points to Secret %s, which no manifest defines, and which is none of %s that are yours to make",
			name, strings.Join(slices.Sorted(maps.Keys(brought)), ", "))
		return
	}
	if key != "" && !slices.Contains(keys, key) {
		c.fail(o, field, "Secret %s has no key %s, only %s", name, key, strings.Join(slices.Sorted(slices.Values(keys)), ", "))
	}
}
