package function_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tripcast.dev/functions/cmd/internal/process"
	"tripcast.dev/functions/serve/lambda"
)

var binaries struct {
	sync.Mutex
	dir   string
	built map[string]string
}

func TestMain(m *testing.M) {
	var err error
	if binaries.dir, err = os.MkdirTemp("", "tripcast-lambda-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries.built = map[string]string{}
	code := m.Run()
	os.RemoveAll(binaries.dir)
	os.Exit(code)
}

// binary builds a function as it is deployed, once.
func binary(t testing.TB, name string) string {
	t.Helper()
	binaries.Lock()
	defer binaries.Unlock()
	if binaries.built[name] == "" {
		path, err := process.Build(t.Context(), binaries.dir, name)
		if err != nil {
			t.Fatal(err)
		}
		binaries.built[name] = path
	}
	return binaries.built[name]
}

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:tripcast"

// said is what a function has told the runtime API.
type said struct{ path, body string }

// onLambda is a function's process and the runtime API that it is given.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type onLambda struct {
	command *exec.Cmd
	log     bytes.Buffer // complete once it has exited
	ended   chan error
	within  time.Duration // what an invocation has

	invocations chan []byte
	heard       chan said
}

// ServeHTTP is the runtime API.
func (f *onLambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimPrefix(r.URL.Path, "/2018-06-01/runtime/")
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		f.heard <- said{strings.TrimPrefix(path, "invocation/1/"), string(body)}
		w.WriteHeader(http.StatusAccepted)
		return
	}
	if path != "invocation/next" {
		http.NotFound(w, r)
		return
	}
	select {
	case payload := <-f.invocations:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", functionARN)
		w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(f.within).UnixMilli()))
		w.Write(payload)
	case <-r.Context().Done():
	}
}

// startOnLambda runs a function with nothing but this environment.
func startOnLambda(t testing.TB, name string, env map[string]string) *onLambda {
	t.Helper()
	f := &onLambda{
		command: exec.Command(binary(t, name)), ended: make(chan error, 1), within: patience,
		invocations: make(chan []byte, 1), heard: make(chan said, 10),
	}
	api := httptest.NewServer(f)
	f.command.Env = []string{lambda.EnvRuntimeAPI + "=" + strings.TrimPrefix(api.URL, "http://")}
	for name, value := range env {
		f.command.Env = append(f.command.Env, name+"="+value)
	}
	f.command.Stderr = &f.log
	if err := f.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { f.ended <- f.command.Wait() }()
	t.Cleanup(func() {
		f.command.Process.Kill()
		f.ended <- <-f.ended // until it has ended, which exit may ask as well
		api.Close()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, &f.log)
		}
	})
	return f
}

// invoke gives the function a batch and returns what it says to it.
func (f *onLambda) invoke(t testing.TB, payload []byte) said {
	t.Helper()
	f.invocations <- payload
	return f.hear(t)
}

// hear returns what the function says next.
func (f *onLambda) hear(t testing.TB) said {
	t.Helper()
	select {
	case s := <-f.heard:
		return s
	case err := <-f.ended:
		f.ended <- err
		select { // it may have spoken before it ended
		case s := <-f.heard:
			return s
		default:
			t.Fatalf("the function has ended: %v\n%s", err, &f.log)
		}
	case <-time.After(patience):
		t.Fatal("the function says nothing")
	}
	return said{}
}

// exit waits for the process to end.
func (f *onLambda) exit(t testing.TB) int {
	t.Helper()
	select {
	case err := <-f.ended:
		f.ended <- err
	case <-time.After(patience):
		t.Fatal("the function does not exit")
	}
	return f.command.ProcessState.ExitCode()
}
