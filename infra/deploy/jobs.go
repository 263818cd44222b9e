package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var jobKind = schema.GroupKind{Group: "batch", Kind: "Job"}

// nameJobs gives every Job the name NAME-HASH, after what it is to do. A Job
// cannot be changed and does not run twice: with the same content it has the
// same name and applying it does nothing, with any other it is a new Job that
// runs, and the old one is pruned.
//
// It wants images resolved to digests, so that other code is another content.
func nameJobs(s set) error {
	for _, o := range s {
		if idOf(o).GroupKind != jobKind {
			continue
		}
		// Maps are encoded in the order of their keys.
		spec, err := json.Marshal(o.Object["spec"])
		if err != nil {
			return fmt.Errorf("naming %s: %w", idOf(o), err)
		}
		sum := sha256.Sum256(spec)
		o.SetName(o.GetName() + "-" + hex.EncodeToString(sum[:5]))
	}
	return nil
}
