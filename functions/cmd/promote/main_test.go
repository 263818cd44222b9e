package main

import (
	"bytes"
	"strings"
	"testing"

	"tripcast.dev/functions/cmd/internal/function"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  map[string]string
		code int
		want string
	}{
		{"help", []string{"-h"}, nil, function.ExitOK, "HAND_HOLD"},
		{"flag", []string{"-x"}, nil, function.ExitUsage, "-x"},
		{"argument", []string{"x"}, nil, function.ExitUsage, `"x"`},
		{"redis", nil, map[string]string{"REDIS_URL": "http://x"}, function.ExitUsage, "REDIS_URL"},
		{"margin", nil, map[string]string{"MARGIN_PERCENT": "0.05"}, function.ExitUsage, "MARGIN_PERCENT"},
		{"labels", nil, map[string]string{"MIN_LABELS": "-1"}, function.ExitUsage, "MIN_LABELS"},
		{"streak", nil, map[string]string{"STREAK": "0"}, function.ExitUsage, "STREAK"},
		{"hold", nil, map[string]string{"HOLD": "long"}, function.ExitUsage, "HOLD"},
		{"hold of people", nil, map[string]string{"HAND_HOLD": "0s"}, function.ExitUsage, "HAND_HOLD"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stderr bytes.Buffer
			code := command().Run(t.Context(), c.args, func(name string) string { return c.env[name] }, &stderr)
			if code != c.code || !strings.Contains(stderr.String(), c.want) {
				t.Errorf("exit code %d and %q, want %d and %q in it", code, &stderr, c.code, c.want)
			}
		})
	}
}
