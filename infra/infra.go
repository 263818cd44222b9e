// Package infra carries the manifests and the model catalogue that tripcast is
// deployed with, so that what runs on a laptop is read from the very files a
// cluster is given.
package infra

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed knative/base/*.yaml models.yaml
var files embed.FS

// Knative is the folder knative/base: the manifests every deployment shares,
// at the root of the file system.
func Knative() fs.FS {
	base, err := fs.Sub(files, "knative/base")
	if err != nil { // fs.Sub fails on an invalid path alone, and this one is a constant
		panic(fmt.Sprintf("infra: %v", err))
	}
	return base
}

// Models is models.yaml, the catalogue that is applied when none is given.
func Models() []byte {
	catalogue, err := files.ReadFile("models.yaml")
	if err != nil { // embedded above: its absence does not compile
		panic(fmt.Sprintf("infra: %v", err))
	}
	return catalogue
}
