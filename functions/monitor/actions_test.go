package monitor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/registry"
)

var ada = registry.Actor{Name: "ada", Reason: "it is better"}

// act posts an action with the token.
func (d *dashboard) act(t testing.TB, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	return d.ask(t, http.MethodPost, path, body, append([]string{"Authorization", "Bearer " + token, "Content-Type", "application/json"}, header...)...)
}

func TestActions(t *testing.T) {
	for _, tt := range []struct {
		path, body string
		did        []any
		action     registry.Action
	}{
		{
			"/models/trees/promote", `{"expect":"city-grid","by":" ada ","reason":"it is better\n"}`,
			[]any{"promote", "trees", "city-grid", ada},
			registry.Action{At: noon, Kind: "promote", Model: "trees", From: "city-grid", To: "trees", By: "ada", Reason: "it is better"},
		},
		{
			"/models/trees/promote", `{"by":"ada"}`,
			[]any{"promote", "trees", "", registry.Actor{Name: "ada"}},
			registry.Action{At: noon, Kind: "promote", Model: "trees", To: "trees", By: "ada"},
		},
		{
			"/models/trees/rollback", `{"version":7,"expect":9,"by":"ada","reason":"it is better"}`,
			[]any{"rollback", "trees", uint64(7), uint64(9), ada},
			registry.Action{At: noon, Kind: "rollback", Model: "trees", From: "9", To: "7", By: "ada", Reason: "it is better"},
		},
	} {
		d := newDashboard(t, token)
		w := d.act(t, tt.path, tt.body, "Sec-Fetch-Site", "same-origin", "Content-Type", "application/json; charset=utf-8")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, w.Code, w.Body)
			continue
		}
		if !reflect.DeepEqual(d.models.did, tt.did) {
			t.Errorf("%s %s did %v, want %v", tt.path, tt.body, d.models.did, tt.did)
		}
		var action registry.Action
		if err := json.Unmarshal(w.Body.Bytes(), &action); err != nil || action != tt.action {
			t.Errorf("%s %s: %s, %v", tt.path, tt.body, w.Body, err)
		}
		lines := d.logs.lines(t, "action")
		if len(lines) != 1 {
			t.Fatalf("the log has %s", d.logs)
		}
		for name, want := range map[string]any{
			"level": "INFO", "kind": tt.action.Kind, "model": "trees", "from": tt.action.From, "to": tt.action.To,
			"by": "ada", "reason": tt.action.Reason, "address": "192.0.2.1",
		} {
			if lines[0][name] != want {
				t.Errorf("the log says %s %q, want %q", name, lines[0][name], want)
			}
		}
		if strings.Contains(d.logs.String(), token) {
			t.Errorf("the log has the token: %s", d.logs)
		}
	}
}

// Whatever is refused changes nothing, says why, and is in the log.
func TestActionsRefused(t *testing.T) {
	const promote, good = "/models/trees/promote", `{"by":"ada"}`
	for _, tt := range []struct {
		name   string
		token  string
		path   string
		body   string
		header []string
		err    error // of the registry
		status int
		want   string
	}{
		{"no token is configured", "", promote, good, nil, nil, 403, "read-only"},
		{"no token", token, promote, good, []string{"Authorization", ""}, nil, 401, "needs the token"},
		{"another scheme", token, promote, good, []string{"Authorization", "Basic " + token}, nil, 401, "needs the token"},
		{"wrong token", token, promote, good, []string{"Authorization", "Bearer wrong"}, nil, 401, "not the token"},
		{"part of the token", token, promote, good, []string{"Authorization", "Bearer " + token[:20]}, nil, 401, "not the token"},
		{"more than the token", token, promote, good, []string{"Authorization", "Bearer " + token + "x"}, nil, 401, "not the token"},
		{"another site", token, promote, good, []string{"Sec-Fetch-Site", "cross-site"}, nil, 403, "another site"},
		{"a site beside", token, promote, good, []string{"Sec-Fetch-Site", "same-site"}, nil, 403, "another site"},
		{"another origin", token, promote, good, []string{"Origin", "https://evil.example"}, nil, 403, "another site"},
		{"a form", token, promote, "by=ada", []string{"Content-Type", "application/x-www-form-urlencoded"}, nil, 415, "application/json"},
		{"text", token, promote, good, []string{"Content-Type", "text/plain"}, nil, 415, "application/json"},
		{"no type", token, promote, good, []string{"Content-Type", ""}, nil, 415, "application/json"},
		{"too large", token, promote, `{"by":"` + strings.Repeat("x", maxActionBytes) + `"}`, nil, nil, 413, "64 KB"},
		{"too large behind", token, promote, good + strings.Repeat(" ", maxActionBytes), nil, nil, 413, "64 KB"},
		{"no JSON", token, promote, `{"by":`, nil, nil, 400, "not what this takes"},
		{"nothing", token, promote, ``, nil, nil, 400, "not what this takes"},
		{"two objects", token, promote, good + good, nil, nil, 400, "follows"},
		{"a field of no meaning", token, promote, `{"by":"ada","force":true}`, nil, nil, 400, "force"},
		{"a field of another type", token, "/models/trees/rollback", `{"by":"ada","version":"7"}`, nil, nil, 400, "version"},
		{"no version", token, "/models/trees/rollback", good, nil, nil, 400, "version is missing"},
		{"nobody", token, promote, `{}`, nil, fmt.Errorf("%w: it has no name", registry.ErrActor), 400, "it has no name"},
		{"no such model", token, promote, good, nil, fmt.Errorf("registry: promote x: %w: its models are a, b", registry.ErrNotFound), 404, "its models are a, b"},
		{"somebody was faster", token, promote, good, nil, fmt.Errorf("%w: the champion is a", registry.ErrConflict), 409, "the champion is a"},
		{"being warmed up", token, promote, good, nil, fmt.Errorf("%w: x is promoted once it is live", registry.ErrWarming), 409, "once it is live"},
		{"broken", token, promote, good, nil, &registry.StateError{Model: "trees", Reason: "it is of another specification"}, 409, "another specification"},
		{"Redis away", token, promote, good, nil, fmt.Errorf("%w: dial tcp 10.0.0.7", registry.ErrUnavailable), 503, "Redis does not answer"},
		{"unforeseen", token, promote, good, nil, fmt.Errorf("10.0.0.7 is odd"), 500, "log says more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newDashboard(t, tt.token)
			d.models.actErr = tt.err
			w := d.act(t, tt.path, tt.body, tt.header...)
			if w.Code != tt.status {
				t.Errorf("%d, want %d: %s", w.Code, tt.status, w.Body)
			}
			var said struct {
				Error  string
				WayOut string `json:"way_out"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || !strings.Contains(said.Error+" "+said.WayOut, tt.want) {
				t.Errorf("%s, %v, want %q in it", w.Body, err, tt.want)
			}
			wantSecured(t, tt.name, w.Header())
			if tt.err == nil && len(d.models.did) > 0 {
				t.Errorf("it was done: %v", d.models.did)
			}
			if (w.Header().Get("WWW-Authenticate") != "") != (tt.status == 401) || (w.Header().Get("Retry-After") != "") != (tt.status == 503) {
				t.Errorf("headers %v", w.Header())
			}
			lines := d.logs.lines(t, "action refused")
			if len(lines) != 1 || lines[0]["level"] != "WARN" || lines[0]["status"] != float64(tt.status) || lines[0]["model"] != "trees" {
				t.Errorf("the log says %s", d.logs)
			}
			for what, text := range map[string]string{"log": d.logs.String(), "answer": w.Body.String()} {
				if strings.Contains(text, token[:20]) || what == "answer" && strings.Contains(text, "10.0.0.7") {
					t.Errorf("the %s has what it should not: %s", what, text)
				}
			}
			if len(d.logs.lines(t, "action")) > 0 {
				t.Errorf("the log says that it was done: %s", d.logs)
			}
		})
	}
}

// A wrong token may be tried some times and not more, and others may go on.
func TestWrongTokensAreLimited(t *testing.T) {
	tokens := newTokens(token)
	now := noon
	tokens.now = func() time.Time { return now }
	judge := func(address, authorization string) verdict {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", authorization)
		v, _ := tokens.judge(r)
		return v
	}
	const right = "Bearer " + token
	for range maxWrong - 1 {
		if v := judge("192.0.2.1:1000", "Bearer wrong"); v != wrong {
			t.Fatalf("verdict %d on a wrong token", v)
		}
	}
	if v := judge("192.0.2.1:1001", right); v != known {
		t.Errorf("verdict %d on the right one", v)
	}
	judge("192.0.2.1:1002", "Bearer wrong")
	if v := judge("192.0.2.1:1003", right); v != blocked {
		t.Errorf("verdict %d after %d wrong ones", v, maxWrong)
	}
	if v := judge("[::ffff:192.0.2.1]:1003", right); v != blocked {
		t.Errorf("verdict %d on the same address, written otherwise", v)
	}
	free := 0
	for i := range 10 { // but for those that happen to share its slot
		if judge(fmt.Sprintf("192.0.2.%d:1000", 2+i), right) == known {
			free++
		}
	}
	if free < 8 {
		t.Errorf("of 10 other addresses %d are free", free)
	}
	now = now.Add(wrongWithin)
	if v := judge("192.0.2.1:1004", right); v != known {
		t.Errorf("verdict %d a minute later", v)
	}
	if v := judge("192.0.2.1:1004", ""); v != missing {
		t.Errorf("verdict %d on none", v)
	}
}

func TestTooManyWrongTokens(t *testing.T) {
	d := newDashboard(t, token)
	for range maxWrong {
		d.act(t, "/models/trees/promote", `{"by":"ada"}`, "Authorization", "Bearer wrong")
	}
	logged := len(d.logs.lines(t, "action refused"))
	w := d.act(t, "/models/trees/promote", `{"by":"ada"}`)
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || len(d.models.did) > 0 {
		t.Errorf("%d %v %s, did %v", w.Code, w.Header(), w.Body, d.models.did)
	}
	if n := len(d.logs.lines(t, "action refused")); n != logged {
		t.Error("whoever is blocked can fill the log")
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80":          "192.0.2.1",
		"[2001:db8:1:2:3::4]:9": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:9":      "fe80::/64",
		"[::ffff:192.0.2.1]:80": "192.0.2.1",
		"@":                     "@",
	} {
		if got := addressOf(&http.Request{RemoteAddr: remote}); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}

func TestCheckToken(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		token:                     "",
		strings.Repeat("x", 16):   "",
		strings.Repeat("x", 15):   "15 characters and needs at least 16",
		"spaces are not in there": "a space",
		"nor are umlauts äöüäöü":  "a space",
		"müssen-schon-gar-nicht":  "not ASCII",
	} {
		err := CheckToken(text)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), text)) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
