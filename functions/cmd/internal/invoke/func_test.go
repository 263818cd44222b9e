package invoke_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// funcCommand is the real func: $TRIPCAST_FUNC, or what `task func` has built.
func funcCommand(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TRIPCAST_FUNC")
	if path == "" {
		path = filepath.Join(root, ".task", "func")
		if _, err := os.Stat(path); err != nil {
			t.Skip("no func is built and TRIPCAST_FUNC names none: `task test:func` builds it and runs this")
		}
	}
	path, err := exec.LookPath(path)
	if err != nil {
		t.Fatalf("TRIPCAST_FUNC: %v", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// run runs func in a folder and returns what it prints.
func run(t *testing.T, dir string, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), funcCommand(t), arguments...)
	command.Dir = dir
	// It knows no cluster and writes no configuration but into this folder.
	command.Env = []string{"HOME=" + dir, "XDG_CONFIG_HOME=" + dir, "PATH=" + os.Getenv("PATH")}
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err = command.Run()
	return out.String(), errs.String(), err
}

// folder is a copy of the folder of a function as far as func reads it: it
// writes there.
func folder(t *testing.T, function string) string {
	t.Helper()
	text, err := os.ReadFile(funcYAML(function))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "func.yaml"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// arguments are the flags of an invocation.
func (i invocation) arguments(target string) []string {
	arguments := []string{"invoke", "--data", i.data}
	if target != "" {
		arguments = append(arguments, "--target", target)
	}
	if i.typ != "" {
		arguments = append(arguments, "--type", i.typ)
	}
	if i.method != "" {
		arguments = append(arguments, "--request-type", i.method)
	}
	return arguments
}

// TestFunc makes the invocations with the real func. It exits 0 and says
// nothing of its own whatever the status, and even where nobody answers: all it
// prints is the event of the answer.
func TestFunc(t *testing.T) {
	funcCommand(t)
	invokeAll(t, func(t *testing.T, i invocation, target string) (string, int) {
		between := &ear{URL: target}
		if i.status != 0 { // where nobody listens a proxy would answer
			between = listenIn(t, target)
		}
		stdout, stderr, err := run(t, folder(t, i.function), i.arguments(between.URL)...)
		if err != nil || stderr != "" {
			t.Errorf("%v: %s", err, stderr)
		}
		if i.status != 0 {
			sameRequest(t, between.request, request(t, i, target))
		}
		return stdout, between.status
	})
}

// TestFuncFindsTheFunction: without --target it asks the port that a folder in
// .func/runs is named after.
func TestFuncFindsTheFunction(t *testing.T) {
	funcCommand(t)
	functions := start(t, "127.0.0.1:1")
	dir := folder(t, "predict")
	retraction := invocation{typ: "dev.knative.kafka.event"}
	if _, stderr, err := run(t, dir, retraction.arguments("")...); err == nil {
		t.Errorf("func has found a function that it knows no port of: %s", stderr)
	}
	address, err := url.Parse(functions["predict"].URL)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".func", "runs", address.Port()), 0o755); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := run(t, dir, invocation{data: hello}.arguments("")...)
	if err != nil {
		t.Errorf("%v: %s", err, stderr)
	}
	compare(t, "predict-by-default", stdout)
}

// ear is a proxy that remembers the last request and the status of its answer.
type ear struct {
	URL     string
	request *http.Request
	status  int
}

func listenIn(t *testing.T, target string) *ear {
	t.Helper()
	to, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	e := &ear{}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.Out.URL, r.Out.Host = to, "" },
		ModifyResponse: func(r *http.Response) error { e.status = r.StatusCode; return nil },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.request = r
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	e.URL = server.URL
	return e
}

// sameRequest fails unless func sent what the other test sends.
func sameRequest(t *testing.T, got, want *http.Request) {
	t.Helper()
	if got == nil {
		t.Fatal("func has sent nothing")
	}
	if got.Method != want.Method || got.ContentLength != want.ContentLength {
		t.Errorf("func sends %s with %d bytes, not %s with %d", got.Method, got.ContentLength, want.Method, want.ContentLength)
	}
	if got, want := attributes(got.Header), attributes(want.Header); !reflect.DeepEqual(got, want) {
		t.Errorf("func sends %v\nnot %v", got, want)
	}
}

// attributes are the headers of the event, but for what differs each time.
func attributes(h http.Header) map[string]string {
	out := map[string]string{}
	for name := range h {
		switch value := h.Get(name); {
		case name == "Ce-Time":
			out[name] = "TIME"
		case strings.HasPrefix(name, "Ce-"), name == "Content-Type":
			out[name] = uuid.ReplaceAllString(value, "ID")
		}
	}
	return out
}
