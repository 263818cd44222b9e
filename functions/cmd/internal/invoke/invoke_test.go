// Package invoke_test is what `func invoke` gets from predict and learn: that of
// the very request it sends, always, and of the real func where it is built.
package invoke_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"

	"tripcast.dev/events"
	"tripcast.dev/functions/cmd/internal/process"
	"tripcast.dev/functions/online"
	"tripcast.dev/functions/online/kinds"
	"tripcast.dev/functions/registry"
)

var update = flag.Bool("update", false, "write the golden files")

// invocation is a func invoke and what comes of it. The text it prints is in
// the golden file of its name.
type invocation struct {
	name     string
	function string
	typ      string // --type, boson.fn if empty
	data     string // --data
	method   string // --request-type, POST if empty
	path     string // of the target
	status   int    // what any other client sees, 0 where nobody answers
}

const (
	label    = `{"trip_id":"trip-1","features":{"distance_km":3.2,"hour_cos":-0.5},"duration_s":600}`
	features = `{"trip_id":"trip-2","picked_up_at":"2016-01-05T08:00:00Z","features":{"distance_km":3.2,"hour_cos":-0.5}}`
	hello    = `{"message":"Hello World"}` // what func sends unless it is told otherwise
)

// invocations are in order: what was learned is predicted.
var invocations = []invocation{
	{name: "learned", function: "learn", typ: events.TypeLabel, data: label, status: 200},
	{name: "learned-before", function: "learn", typ: events.TypeLabel, data: label, status: 200},
	{name: "predicted", function: "predict", typ: events.TypeFeatures, data: features, status: 200},
	{name: "retracted", function: "predict", typ: events.TypeFeatures, status: 204},
	{name: "predict-by-default", function: "predict", data: hello, status: 400},
	{name: "learn-by-default", function: "learn", data: hello, status: 400},
	{name: "predict-with-other-data", function: "predict", typ: events.TypeFeatures, data: hello, status: 400},
	{name: "learn-with-other-data", function: "learn", typ: events.TypeLabel, data: features, status: 400},
	{name: "with-get", function: "predict", typ: events.TypeFeatures, method: http.MethodGet, status: 405},
	{name: "elsewhere", function: "predict", typ: events.TypeFeatures, data: features, path: "/predict", status: 404},
}

var invocationsWithoutRedis = []invocation{
	{name: "predict-without-redis", function: "predict", typ: events.TypeFeatures, data: features, status: 503},
	{name: "learn-without-redis", function: "learn", typ: events.TypeLabel, data: label, status: 503},
}

var invocationsOfNobody = []invocation{
	{name: "nobody", function: "predict", typ: events.TypeFeatures, data: features},
}

const catalogue = `
champion: nearest
models:
  - {name: linear, features: [distance_km, hour_cos], transformers: [StandardScaler], model: LinearRegression}
  - {name: nearest, features: [distance_km, hour_cos], model: KNNRegressor}
`

// invoke makes an invocation of a function at this URL and returns what func
// prints and the status of the answer, 0 if there was none.
type invoke func(t *testing.T, i invocation, url string) (text string, status int)

// invokeAll makes every invocation with functions of their own.
func invokeAll(t *testing.T, do invoke) {
	redis := miniredis.RunT(t)
	address := redis.Addr()
	apply(t, address)
	functions := start(t, address)
	each := func(invocations []invocation) {
		for _, i := range invocations {
			t.Run(i.name, func(t *testing.T) {
				text, status := do(t, i, functions[i.function].URL+i.path)
				if status != i.status {
					t.Errorf("status %d, want %d", status, i.status)
				}
				compare(t, i.name, text)
			})
		}
	}
	each(invocations)
	redis.Close()
	stop(t, functions) // predict would go on with the models it has read
	functions = start(t, address)
	each(invocationsWithoutRedis)
	stop(t, functions)
	each(invocationsOfNobody)
}

// start starts the functions, built as they are deployed.
func start(t *testing.T, redis string) map[string]*process.Process {
	t.Helper()
	functions := map[string]*process.Process{}
	for name, binary := range binaries {
		p, err := process.Start(context.Background(), binary, "REDIS_URL=redis://"+redis, "MAX_AGE=1ms") // what is learned is known at once
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop() }) //nolint:errcheck // stop has told
		functions[name] = p
	}
	return functions
}

func stop(t *testing.T, functions map[string]*process.Process) {
	t.Helper()
	for _, p := range functions {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func apply(t *testing.T, redis string) {
	t.Helper()
	c, err := online.ParseCatalogue([]byte(catalogue), kinds.All())
	if err != nil {
		t.Fatal(err)
	}
	client, err := registry.Open("redis://" + redis)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := registry.Apply(t.Context(), client, c); err != nil {
		t.Fatal(err)
	}
}

// binaries are predict and learn, by name.
var binaries = map[string]string{}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "invoke")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		for _, name := range []string{"predict", "learn"} {
			if binaries[name], err = process.Build(context.Background(), dir, name); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return m.Run()
	}())
}

var (
	uuid    = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	address = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// compare fails unless the text is the golden one, but for ids and ports.
func compare(t *testing.T, name, text string) {
	t.Helper()
	text = address.ReplaceAllString(uuid.ReplaceAllString(text, "ID"), "127.0.0.1:PORT")
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("printed\n%s\nwant\n%s", text, want)
	}
}

// TestRequest sends what func sends, and prints what the SDK makes of the
// answer, which is all that func does.
func TestRequest(t *testing.T) {
	invokeAll(t, func(t *testing.T, i invocation, url string) (string, int) {
		response, err := http.DefaultClient.Do(request(t, i, url))
		if err != nil {
			return "", 0
		}
		defer response.Body.Close()
		answer, err := binding.ToEvent(t.Context(), cehttp.NewMessageFromHttpResponse(response))
		if errors.Is(err, binding.ErrUnknownEncoding) {
			return "", response.StatusCode
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer.String(), response.StatusCode
	})
}

// request is the request of func 0.49.2; TestFunc compares it with the real one.
func request(t *testing.T, i invocation, url string) *http.Request {
	t.Helper()
	method := http.MethodPost
	var body io.Reader = strings.NewReader(i.data)
	if i.method != "" {
		method, body = i.method, nil
	}
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	typ := "boson.fn"
	if i.typ != "" {
		typ = i.typ
	}
	for name, value := range map[string]string{
		"Ce-Id": "5f7f4e3a-0f1b-4a3e-9c62-7e6f4f0d7b11", "Ce-Source": "/boson/fn", "Ce-Specversion": "1.0",
		"Ce-Type": typ, "Content-Type": "application/json",
	} {
		r.Header.Set(name, value)
	}
	if method == http.MethodPost {
		r.Header.Set("Ce-Time", "2016-01-05T08:00:00.000000001Z")
	}
	return r
}
