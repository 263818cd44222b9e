package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// bringer is what has to be installed for the cluster to know a kind.
type bringer struct{ what, where string }

var (
	serving     = bringer{"Knative Serving", "https://knative.dev/docs/install/yaml-install/serving/install-serving-with-yaml/"}
	eventing    = bringer{"Knative Eventing", "https://knative.dev/docs/install/yaml-install/eventing/install-eventing-with-yaml/"}
	kafkaSource = bringer{"eventing-kafka-broker's KafkaSource", "https://knative.dev/docs/eventing/sources/kafka-source/"}
	kafkaSink   = bringer{"eventing-kafka-broker's KafkaSink", "https://knative.dev/docs/eventing/sinks/kafka-sink/"}
)

// bringerOf says who brings a kind, if we know.
func bringerOf(kind schema.GroupKind) (bringer, bool) {
	switch {
	case kind.Group == "serving.knative.dev":
		return serving, true
	case kind.Kind == "KafkaSource" && kind.Group == "sources.knative.dev":
		return kafkaSource, true
	case kind.Kind == "KafkaSink" && kind.Group == "eventing.knative.dev":
		return kafkaSink, true
	case kind.Group == "sources.knative.dev" || kind.Group == "eventing.knative.dev":
		return eventing, true
	}
	return bringer{}, false
}

// reachable is nil if the cluster answers.
func (c cluster) reachable(ctx context.Context) error {
	_, err := c.kubectl(ctx, nil, "get", "--raw", "/version", "--request-timeout=15s")
	if exitCode(err) > 0 {
		return fmt.Errorf("no cluster answers: %s (--context and --kubeconfig name another)", lastLine(err))
	}
	return err
}

// lastLine is the line of kubectl's error that the others lead to.
func lastLine(err error) string {
	message := strings.TrimSpace(err.Error())
	return message[strings.LastIndex(message, "\n")+1:]
}

// kinds is an error for each kind of the set that the cluster does not know.
func (c cluster) kinds(ctx context.Context, s set) error {
	wanted := map[schema.GroupVersionKind]bool{}
	for _, o := range s {
		wanted[o.GroupVersionKind()] = true
	}
	order := slices.SortedFunc(maps.Keys(wanted), func(a, b schema.GroupVersionKind) int {
		return cmp.Compare(a.String(), b.String())
	})
	known := map[schema.GroupVersion][]string{}
	var errs []error
	for _, kind := range order {
		version := kind.GroupVersion()
		if _, asked := known[version]; !asked {
			kinds, err := c.served(ctx, version)
			if err != nil {
				return err
			}
			known[version] = kinds
		}
		if !slices.Contains(known[version], kind.Kind) {
			errs = append(errs, unknown(kind))
		}
	}
	return errors.Join(errs...)
}

func unknown(kind schema.GroupVersionKind) error {
	version := kind.GroupVersion()
	if by, ok := bringerOf(kind.GroupKind()); ok {
		return fmt.Errorf("the cluster knows no %s of %s: install %s, %s", kind.Kind, version, by.what, by.where)
	}
	return fmt.Errorf("the cluster knows no %s of %s", kind.Kind, version)
}

// served are the kinds of one API version; none if the cluster does not serve it.
func (c cluster) served(ctx context.Context, version schema.GroupVersion) ([]string, error) {
	path := "/apis/" + version.String()
	if version.Group == "" {
		path = "/api/" + version.Version
	}
	out, err := c.kubectl(ctx, nil, "get", "--raw", path)
	var complaint *kubectlError
	if errors.As(err, &complaint) && strings.Contains(complaint.stderr, "(NotFound)") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for %s: %w", version, err)
	}
	var list metav1.APIResourceList
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, fmt.Errorf("asking the cluster for %s: %w", version, err)
	}
	var kinds []string
	for _, resource := range list.APIResources {
		kinds = append(kinds, resource.Kind)
	}
	return kinds, nil
}

// preflight is everything that is known to go wrong before anything is built
// or applied.
func (c cluster) preflight(ctx context.Context, s set) error {
	if err := c.reachable(ctx); err != nil {
		return err
	}
	return errors.Join(c.kinds(ctx, s), c.secrets(ctx, s))
}
