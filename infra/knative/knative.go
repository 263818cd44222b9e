// Package knative is the folder of manifests that a cluster is given, as typed
// objects: rendered as kubectl -k renders it, decoded as strictly as the API
// server decodes, and checked as Knative's webhooks check.
//
// The API server accepts more than works. Its schemas know no bad ordering or
// backoffDelay, the Kafka kinds' webhooks let a source without a dead-letter sink
// pass, and a reference to a Secret that nobody brings is found by the pod that
// waits for it. All of that is an error here, before anything is applied.
package knative

import (
	"fmt"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"tripcast.dev/infra/knative/manifest"
)

// Object is a decoded object: its Value is a pointer to the type of its kind, as
// *servingv1.Service or *manifest.KafkaSource.
type Object = manifest.Object

// Error is one thing wrong with one object. Errors join several of them.
type Error = manifest.Error

// Render is what kubectl kustomize prints of a folder, in the order in which its
// kustomization lists it.
func Render(dir string) ([]byte, error) {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionUnspecified // the folder's own sortOptions say it
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	stream, err := resources.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("rendering %s: %w", dir, err)
	}
	return stream, nil
}
