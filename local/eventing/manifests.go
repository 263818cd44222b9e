package eventing

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/infra/knative/manifest"
)

// Manifests are the Knative objects of a folder, in the order of its files.
type Manifests struct {
	Sources  []*manifest.KafkaSource
	Sinks    []*manifest.KafkaSink
	Bindings []*manifest.SinkBinding
	Services []*servingv1.Service
}

// Load reads the manifests at the root of fsys, every *.yaml but
// kustomization.yaml, as the API server and Knative's webhooks would take them:
// unknown and doubled fields, values outside of their enum and references that
// point nowhere are errors, all of them returned at once as *manifest.Error.
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
		objects, err := manifest.Decode(name, content, emulated)
		l.objects = append(l.objects, objects...)
		if err != nil {
			l.errs = append(l.errs, err)
		}
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

// skipped are the API groups whose objects mean nothing to events.
var skipped = []string{
	"", "apps", "autoscaling", "batch", "keda.sh", "kustomize.config.k8s.io",
	"networking.k8s.io", "policy", "rbac.authorization.k8s.io",
}

// emulated makes the kinds that are run here.
func emulated(apiVersion, kind string) (any, error) {
	switch apiVersion + " " + kind {
	case manifest.SourcesV1 + " KafkaSource":
		return new(manifest.KafkaSource), nil
	case manifest.KafkaEventingV1 + " KafkaSink":
		return new(manifest.KafkaSink), nil
	case manifest.SourcesV1 + " SinkBinding":
		return new(manifest.SinkBinding), nil
	case manifest.ServingV1 + " Service":
		return new(servingv1.Service), nil
	}
	o := manifest.Object{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion}}
	if !slices.Contains(skipped, o.Group()) || kind == "" {
		return nil, fmt.Errorf("%q %q is not emulated", apiVersion, kind)
	}
	return nil, nil
}

// qualified is an object's namespace/name.
func qualified(o metav1.Object) string { return manifest.Name(o) }
