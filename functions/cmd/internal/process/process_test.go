package process_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"tripcast.dev/functions/cmd/internal/process"
)

func TestProcess(t *testing.T) {
	binary, err := process.Build(t.Context(), t.TempDir(), "predict")
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(context.Background(), binary)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(p.URL + "/health/liveness")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK || p.PID <= 0 {
		t.Errorf("%s from process %d", response.Status, p.PID)
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	}
	if !strings.Contains(p.Log(), `"msg":"stopped"`) {
		t.Errorf("it has not said that it stopped: %s", p.Log())
	}

	if p, err := process.Start(context.Background(), binary, "REDIS_URL=nowhere"); err == nil || !strings.Contains(err.Error(), "REDIS_URL") {
		t.Errorf("started %v: %v, want what it says", p, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if p, err = process.Start(ctx, binary); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Stop(); err == nil || !strings.Contains(p.Log(), `"msg":"stopped"`) {
		t.Errorf("its context is done, it ended with %v: %s", err, p.Log())
	}
}

func TestBuildOfNothing(t *testing.T) {
	if _, err := process.Build(t.Context(), t.TempDir(), "nothing"); err == nil || !strings.Contains(err.Error(), "build nothing: ") {
		t.Errorf("got %v", err)
	}
}
