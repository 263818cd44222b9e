package main

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What to prune is found by our own listing, not by kubectl apply --prune:
// with an allowlist that forgets the types it does not name, and --applyset is
// still alpha, wants an object of its own to remember by, and has no part in
// kubectl diff. One function says what apply deletes, what diff shows and what
// delete removes.

// prunable is what an earlier deployment has applied and this one does not have.
// It is never a namespace: what goes with one, only delete may say.
func prunable(live []object, s set) []object {
	wanted := s.ids()
	var old []object
	for _, o := range live {
		if _, ok := wanted[idOf(o)]; !ok && o.GetNamespace() != "" && applied(o) && o.GetDeletionTimestamp() == nil {
			old = append(old, o)
		}
	}
	return old
}

// applied reports whether it was us who made an object: it has our label, its
// fields were applied under our name and it belongs to no other object. What
// Knative makes of a Service has the Service's labels, but goes with it; what
// users make, such as Secrets, they have not applied as us.
func applied(o object) bool {
	return o.GetLabels()[partOf] == tripcast && len(o.GetOwnerReferences()) == 0 &&
		slices.ContainsFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
			return f.Manager == manager && f.Operation == metav1.ManagedFieldsOperationApply
		})
}

// sameWish reports whether two states of an object ask for the same: its status
// and what the API server notes down about it do not count.
func sameWish(a, b object) bool {
	return equality.Semantic.DeepEqual(wish(a), wish(b))
}

func wish(o object) map[string]any {
	w := maps.Clone(o.Object)
	delete(w, "status")
	metadata, _ := w["metadata"].(map[string]any)
	metadata = maps.Clone(metadata)
	for _, noted := range []string{"managedFields", "resourceVersion", "generation"} {
		delete(metadata, noted)
	}
	w["metadata"] = metadata
	return w
}
