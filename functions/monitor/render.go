package monitor

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tripcast.dev/functions/monitor/live"
)

// pageNames are the templates that are pages: each defines "main".
var pageNames = []string{"live", "trip", "models", "model", "dead-letters", "audit", "error"}

// base is what every page is given.
type base struct {
	Title  string
	Page   string // one of pageNames
	CanAct bool   // a token is configured
	Now    live.Now
}

func (m *Monitor) base(page, title string) base {
	return base{Title: title, Page: page, CanAct: m.tokens != nil, Now: m.feed.Now()}
}

// pages are the templates, by name of the page.
type pages struct {
	byName map[string]*template.Template
	// buffers take a page before it is sent: a template that fails gives no half
	// of one.
	buffers sync.Pool
	zippers sync.Pool
}

func newPages(files fs.FS, static *static) *pages {
	p := &pages{byName: map[string]*template.Template{}}
	p.buffers.New = func() any { return new(bytes.Buffer) }
	p.zippers.New = func() any { return gzip.NewWriter(nil) }
	shared := template.New("").Funcs(functions(static)).Funcs(shapes())
	names, err := fs.Glob(files, "*.html")
	if err != nil {
		panic(fmt.Sprintf("monitor: list the templates: %v", err))
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.Contains(pageNames, strings.TrimSuffix(name, ".html"))
	})
	shared = template.Must(shared.ParseFS(files, names...))
	for _, name := range pageNames {
		p.byName[name] = template.Must(template.Must(shared.Clone()).ParseFS(files, name+".html"))
	}
	return p
}

// isFragment reports whether a page of ours asks for what stands in <main>, to
// put it there itself.
func isFragment(r *http.Request) bool { return r.Header.Get("Tripcast-Fragment") == "1" }

// render answers with a page, or with what stands in its <main>.
func (m *Monitor) render(w http.ResponseWriter, r *http.Request, status int, page string, data any) {
	body := m.pages.buffers.Get().(*bytes.Buffer)
	defer m.pages.buffers.Put(body)
	body.Reset()
	name := "layout"
	if isFragment(r) {
		name = "main"
	}
	if err := m.pages.byName[page].ExecuteTemplate(body, name, data); err != nil {
		m.log.ErrorContext(r.Context(), "a page cannot be rendered", "page", page, "path", r.URL.Path, "error", err)
		status = http.StatusInternalServerError
		body.Reset()
		body.WriteString("<!doctype html><title>Internal Server Error</title><p>This page cannot be shown: the log of the monitor says why.\n")
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-cache")
	header.Add("Vary", "Tripcast-Fragment, Accept-Encoding")
	m.pages.send(w, r, status, body)
}

// send compresses a page where the browser takes that.
func (p *pages) send(w http.ResponseWriter, r *http.Request, status int, body *bytes.Buffer) {
	if !takesGzip(r) || body.Len() < 1<<10 {
		w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
		w.WriteHeader(status)
		w.Write(body.Bytes()) //nolint:errcheck // the browser has gone
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := p.zippers.Get().(*gzip.Writer)
	defer p.zippers.Put(z)
	z.Reset(w)
	z.Write(body.Bytes()) //nolint:errcheck // the browser has gone
	z.Close()             //nolint:errcheck // likewise
}

// takesGzip reports whether Accept-Encoding has gzip, other than as one that is
// not wanted.
func takesGzip(r *http.Request) bool {
	for _, value := range r.Header.Values("Accept-Encoding") {
		for coding := range strings.SplitSeq(value, ",") {
			name, parameters, _ := strings.Cut(coding, ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				quality, found := strings.CutPrefix(strings.TrimSpace(parameters), "q=")
				q, err := strconv.ParseFloat(quality, 64)
				return !found || err == nil && q > 0
			}
		}
	}
	return false
}
