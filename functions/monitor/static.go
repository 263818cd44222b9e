package monitor

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"
)

// static are the files that pages name. They are read, named by what is in them
// and compressed once.
//
// The name of the whole is part of each file's path, /static/HASH/app.js, so that
// what one file imports by a relative path has the same HASH: a browser keeps
// them for ever and never mixes those of two releases. At /static/app.js, without
// it, the same file is asked for again each time, by its ETag.
type static struct {
	hash  string
	files map[string]file
}

type file struct {
	contentType string
	etag        string
	plain       []byte
	zipped      []byte // nil where that is not smaller
}

// contentTypes are by the extension, and not by what the machine thinks of it.
var contentTypes = map[string]string{
	".css":     "text/css; charset=utf-8",
	".js":      "text/javascript; charset=utf-8",
	".json":    "application/json",
	".svg":     "image/svg+xml",
	".png":     "image/png",
	".ico":     "image/x-icon",
	".woff2":   "font/woff2",
	".txt":     "text/plain; charset=utf-8",
	".LICENSE": "text/plain; charset=utf-8",
}

func newStatic(files fs.FS) *static {
	s := &static{files: map[string]file{}}
	whole := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		f, err := newFile(name, data)
		s.files[name] = f
		fmt.Fprintln(whole, name, f.etag)
		return err
	})
	if err != nil {
		panic(fmt.Sprintf("monitor: read the static files: %v", err)) // they are embedded
	}
	s.hash = hex.EncodeToString(whole.Sum(nil)[:8])
	return s
}

func newFile(name string, data []byte) (file, error) {
	sum := sha256.Sum256(data)
	f := file{contentType: contentTypes[path.Ext(name)], etag: hex.EncodeToString(sum[:8]), plain: data}
	if f.contentType == "" {
		return f, fmt.Errorf("%s: no content type is known for %q", name, path.Ext(name))
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return f, err
	}
	if _, err := z.Write(data); err != nil {
		return f, err
	}
	if err := z.Close(); err != nil {
		return f, err
	}
	if zipped.Len() < len(data)*9/10 {
		f.zipped = zipped.Bytes()
	}
	return f, nil
}

// path is where a file is found, for ever.
func (s *static) path(name string) (string, error) {
	if _, ok := s.files[name]; !ok {
		return "", fmt.Errorf("there is no static file %q", name)
	}
	return "/static/" + s.hash + "/" + name, nil
}

// serve answers with a file and reports whether there is one.
func (s *static) serve(w http.ResponseWriter, r *http.Request) bool {
	name, kept := strings.CutPrefix(r.PathValue("name"), s.hash+"/")
	f, ok := s.files[name]
	if !ok {
		return false
	}
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", "no-cache")
	if kept {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	data, etag := f.plain, f.etag
	if f.zipped != nil {
		header.Set("Vary", "Accept-Encoding")
		if takesGzip(r) {
			data, etag = f.zipped, f.etag+"-gzip"
			header.Set("Content-Encoding", "gzip")
			r.Header.Del("Range") // a part of what is compressed is of no use
		}
	}
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	return true
}

func (m *Monitor) serveStatic(w http.ResponseWriter, r *http.Request) {
	if !m.static.serve(w, r) {
		m.notFound(w, r)
	}
}
