package knative

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	servingv1 "knative.dev/serving/pkg/apis/serving/v1"

	"tripcast.dev/infra/knative/manifest"
)

// Decode reads a stream of YAML documents, such as Render's. The file is what
// errors call it. All that is wrong is said at once, as *Error.
func Decode(file string, stream []byte) ([]Object, error) {
	return manifest.Decode(file, stream, deployed)
}

// deployed makes the kinds that are deployed.
func deployed(apiVersion, kind string) (any, error) {
	switch apiVersion + " " + kind {
	case "v1 Namespace":
		return new(corev1.Namespace), nil
	case "v1 ServiceAccount":
		return new(corev1.ServiceAccount), nil
	case "v1 Service":
		return new(corev1.Service), nil
	case "v1 ConfigMap":
		return new(corev1.ConfigMap), nil
	case "v1 Secret":
		return new(corev1.Secret), nil
	case "v1 PersistentVolumeClaim":
		return new(corev1.PersistentVolumeClaim), nil
	case "apps/v1 Deployment":
		return new(appsv1.Deployment), nil
	case "apps/v1 StatefulSet":
		return new(appsv1.StatefulSet), nil
	case "batch/v1 Job":
		return new(batchv1.Job), nil
	case "networking.k8s.io/v1 NetworkPolicy":
		return new(networkingv1.NetworkPolicy), nil
	case manifest.ServingV1 + " Service":
		return new(servingv1.Service), nil
	case manifest.SourcesV1 + " KafkaSource":
		return new(manifest.KafkaSource), nil
	case manifest.KafkaEventingV1 + " KafkaSink":
		return new(manifest.KafkaSink), nil
	case manifest.SourcesV1 + " SinkBinding":
		return new(manifest.SinkBinding), nil
	}
	return nil, fmt.Errorf("%q %q is no kind that is deployed here", apiVersion, kind)
}
