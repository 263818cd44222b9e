package infra_test

import (
	"io/fs"
	"testing"

	"tripcast.dev/infra"
)

func TestEmbedded(t *testing.T) {
	manifests, err := fs.Glob(infra.Knative(), "*.yaml")
	if err != nil || len(manifests) == 0 {
		t.Errorf("Knative holds %v, %v: want the manifests at its root", manifests, err)
	}
	if len(infra.Models()) == 0 {
		t.Error("Models is empty")
	}
}
