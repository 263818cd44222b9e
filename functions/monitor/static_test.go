package monitor

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"tripcast.dev/functions/monitor/assets"
)

func TestStatic(t *testing.T) {
	script := []byte(strings.Repeat("export const x = 1;\n", 100))
	d := newDashboard(t, "")
	d.static = newStatic(fstest.MapFS{
		"app.js":       {Data: script},
		"vendor/x.css": {Data: []byte("a{}")},
	})
	url, err := d.static.path("app.js")
	if err != nil || !strings.HasSuffix(url, "/app.js") || strings.Count(url, "/") != 3 {
		t.Fatalf("%s, %v", url, err)
	}
	if _, err := d.static.path("nobody.js"); err == nil {
		t.Error("a page may name a file that is not there")
	}

	w := d.get(t, url)
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), script) || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" ||
		w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	etag := w.Header().Get("ETag")

	zipped := d.get(t, url, "Accept-Encoding", "gzip", "Range", "bytes=0-3")
	if zipped.Code != http.StatusOK || zipped.Header().Get("Content-Encoding") != "gzip" || zipped.Header().Get("ETag") == etag {
		t.Errorf("%d %v", zipped.Code, zipped.Header())
	}
	if z, err := gzip.NewReader(zipped.Body); err != nil {
		t.Error(err)
	} else if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, script) {
		t.Errorf("%q, %v", got, err)
	}

	plain := d.get(t, "/static/app.js")
	if plain.Code != http.StatusOK || plain.Header().Get("Cache-Control") != "no-cache" || plain.Header().Get("ETag") != etag {
		t.Errorf("without the hash: %d %v", plain.Code, plain.Header())
	}
	if w := d.get(t, "/static/app.js", "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("what the browser has is sent again: %d", w.Code)
	}
	if w := d.get(t, "/static/vendor/x.css", "Accept-Encoding", "gzip"); w.Header().Get("Content-Encoding") != "" || w.Body.String() != "a{}" {
		t.Errorf("what is small is compressed: %v", w.Header())
	}
	if w := d.ask(t, http.MethodHead, url, ""); w.Code != http.StatusOK || w.Header().Get("ETag") != etag {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/static/", "/static/vendor", "/static/nobody.js", "/static/0123456789abcdef/app.js", "/static/..%2f..%2fmonitor.go"} {
		if w := d.get(t, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
	}
}

// What changes any file gives all of them another name.
func TestStaticHash(t *testing.T) {
	name := func(files fstest.MapFS) string { return newStatic(files).hash }
	a := name(fstest.MapFS{"a.js": {Data: []byte("1")}, "b.js": {Data: []byte("2")}})
	for what, files := range map[string]fstest.MapFS{
		"content": {"a.js": {Data: []byte("1")}, "b.js": {Data: []byte("3")}},
		"name":    {"a.js": {Data: []byte("1")}, "c.js": {Data: []byte("2")}},
		"one":     {"a.js": {Data: []byte("1")}},
	} {
		if name(files) == a {
			t.Errorf("another %s has the same hash", what)
		}
	}
	if again := name(fstest.MapFS{"b.js": {Data: []byte("2")}, "a.js": {Data: []byte("1")}}); again != a {
		t.Error("the same files have another hash")
	}
}

// What is embedded can be served, each file as what it is.
func TestEmbeddedFiles(t *testing.T) {
	s := newStatic(assets.Static())
	if len(s.files) < 3 {
		t.Fatalf("%d files", len(s.files))
	}
	for name, f := range s.files {
		if len(f.plain) == 0 || f.contentType == "" {
			t.Errorf("%s: %d bytes of %q", name, len(f.plain), f.contentType)
		}
	}
}
