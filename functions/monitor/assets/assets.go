// Package assets holds what the dashboard sends to a browser: templates for the
// pages and the files they name. There is no build step, and nothing is fetched
// from anywhere else.
//
// A page, such as templates/trip.html, defines the template "main": what stands
// in <main>. The template "layout" is the page around it, and whatever other
// files define may be used by all.
package assets

import (
	"embed"
	"io/fs"
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static
var static embed.FS

// Templates are the files *.html.
func Templates() fs.FS { return below(templates, "templates") }

// Static are the files that a browser asks for by name.
func Static() fs.FS { return below(static, "static") }

func below(files fs.FS, folder string) fs.FS {
	sub, err := fs.Sub(files, folder)
	if err != nil {
		panic(err) // the folder's name is not a path: see above
	}
	return sub
}
