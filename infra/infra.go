// Package infra carries the manifests that tripcast is deployed with, so that
// what runs on a laptop is read from the very files a cluster is given.
package infra

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed knative/base/*.yaml
var files embed.FS

// Knative is the folder knative/base: the manifests every deployment shares,
// at the root of the file system.
func Knative() fs.FS { return sub("knative/base") }

func sub(dir string) fs.FS {
	fsys, err := fs.Sub(files, dir)
	if err != nil { // fs.Sub fails on an invalid path alone, and dir is a constant
		panic(fmt.Sprintf("infra: %s: %v", dir, err))
	}
	return fsys
}
