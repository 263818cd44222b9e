package knative

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	sourcesv1 "knative.dev/eventing/pkg/apis/sources/v1"
	"knative.dev/pkg/apis"
	duckv1 "knative.dev/pkg/apis/duck/v1"
	"knative.dev/pkg/tracker"

	"tripcast.dev/infra/knative/manifest"
)

// Our SinkBinding is written out by hand, as Knative's brings client-go. This is
// where the two are held together: both take what is deployed, and refuse the
// same mistakes.
func TestSinkBindingIsKnatives(t *testing.T) {
	type binding = manifest.SinkBinding
	url := func(text string) *apis.URL {
		u, err := apis.ParseURL(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, c := range []struct {
		name    string
		change  func(*binding)
		refused bool
	}{
		{"as it is", func(*binding) {}, false},
		{"no sink", func(b *binding) { b.Spec.Sink = duckv1.Destination{} }, true},
		{"a nameless sink", func(b *binding) { b.Spec.Sink.Ref.Name = "" }, true},
		{"a sink by URL", func(b *binding) { b.Spec.Sink = duckv1.Destination{URI: url("http://elsewhere/x")} }, false},
		{"a path alone", func(b *binding) { b.Spec.Sink = duckv1.Destination{URI: url("/x")} }, true},
		{"a path of the sink", func(b *binding) { b.Spec.Sink.URI = url("/x") }, false},
		{"a sink and a URL", func(b *binding) { b.Spec.Sink.URI = url("http://elsewhere/x") }, true},
		{"no subject", func(b *binding) { b.Spec.Subject = tracker.Reference{} }, true},
		{"a nameless subject", func(b *binding) { b.Spec.Subject.Name = "" }, true},
		{"a subject elsewhere", func(b *binding) { b.Spec.Subject.Namespace = "other" }, true},
		{"an extension", func(b *binding) {
			b.Spec.CloudEventOverrides = &duckv1.CloudEventOverrides{Extensions: map[string]string{"trip-id": "x"}}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects := rendered(t, "overlays/production")
			ours := objects[slices.IndexFunc(objects, func(o Object) bool { return o.Kind == "SinkBinding" })].Value.(*binding)
			c.change(ours)
			if problems := ours.Validate(); (len(problems) > 0) != c.refused {
				t.Errorf("ours: %v", problems)
			}
			text, err := json.Marshal(ours)
			if err != nil {
				t.Fatal(err)
			}
			var theirs sourcesv1.SinkBinding
			strict := json.NewDecoder(bytes.NewReader(text))
			strict.DisallowUnknownFields()
			if err := strict.Decode(&theirs); err != nil {
				t.Fatalf("Knative's type does not have all of our fields: %v", err)
			}
			ctx := apis.WithinCreate(context.Background())
			theirs.SetDefaults(ctx)
			if refusal := theirs.Validate(ctx).Filter(apis.ErrorLevel); (refusal != nil) != c.refused {
				t.Errorf("Knative: %v", refusal)
			}
		})
	}
}
