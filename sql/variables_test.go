package sql

import (
	"maps"
	"testing"
	"testing/fstest"
)

func TestVariables(t *testing.T) {
	own := fstest.MapFS{"a.sql": {Data: []byte("SELECT '${color}', '${grace}', '${grace}'")}}
	none := fstest.MapFS{"a.sql": {Data: []byte("SELECT 1")}}
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		given map[string]string
		want  map[string]string
		err   string
	}{
		{name: "defaults that are used", files: own, given: map[string]string{"color": "blue"}, want: map[string]string{"color": "blue", "grace": "5 minutes"}},
		{name: "given", files: own, given: map[string]string{"color": "", "grace": "1 hour"}, want: map[string]string{"color": "", "grace": "1 hour"}},
		{name: "unknown", files: own, given: map[string]string{"colour": "blue"}, err: "no file has a variable colour: there are color, grace"},
		{name: "unknown where there is none", files: none, given: map[string]string{"colour": "blue"}, err: "no file has a variable colour: they have none"},
		{name: "no part of an hour", files: fstest.MapFS{"a.sql": {Data: []byte("SELECT '${judged_every}'")}}, given: map[string]string{"judged_every": "25 minutes"}, err: `judged_every: "25 minutes" is none of 5, 10, 15, 20, 30 and 60 minutes, such as '30 minutes'`},
		{name: "no margin", files: fstest.MapFS{"a.sql": {Data: []byte("SELECT '${best_margin}'")}}, given: map[string]string{"best_margin": "5 %"}, err: `best_margin: "5 %" is no part of an error, such as 0.05`},
		{name: "no value for it", files: own, given: map[string]string{"grace": "5m"}, err: `grace: "5m" is no interval above 0, such as 25 hours, 1 day 12 hours or 01:30:00`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Variables(c.files, Defaults(), c.given)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Errorf("%v, want %s", err, c.err)
				}
				return
			}
			if err != nil || !maps.Equal(got, c.want) {
				t.Errorf("%v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestCheckVariable(t *testing.T) {
	for name, values := range map[string]struct{ good, bad []string }{
		VariableGrace: {
			good: []string{"5 minutes", "1 second", "1 day 12 hours", "1.5 hours", "36:00", "01:30:00", "1 day 01:30:00", "2 MONTHS", "1hour"},
			bad:  []string{"", "5", "minutes", "5m", "5 parsecs", "-5 minutes", "0 minutes", "00:00", "1:70", "5 minutes'", "5 minutes; DROP", "1 hour2 minutes"},
		},
		VariableJudgedEvery: {
			good: []string{"5 minutes", "30 minutes", "60 minutes"},
			bad:  []string{"", "30", "1 hour", "0 minutes", "7 minutes", "25 minutes", "-5 minutes", "5 minutes'"},
		},
		VariableBroker: {
			good: []string{"redpanda:9092", "[::1]:9092", "10.0.0.1:1"},
			bad:  []string{"", "redpanda", ":9092", "redpanda:", "redpanda:0", "redpanda:70000", "redpanda:kafka", "a:1,b:2"},
		},
		"another": {good: []string{"", "what ever"}},
	} {
		for _, v := range values.good {
			if err := checkVariable(name, v); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, v := range values.bad {
			if err := checkVariable(name, v); err == nil {
				t.Errorf("%s: %q is taken", name, v)
			}
		}
	}
	for name, value := range Defaults() {
		if err := checkVariable(name, value); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
