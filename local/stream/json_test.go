package stream

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
)

func TestJSONB(t *testing.T) {
	long := strings.Repeat("1234567890", 4)
	for _, c := range []struct {
		in   string
		want string
		err  string
	}{
		{in: `{"a":1,"b":[1.5,-2,null,"1e2","\"1.0"],"c":{"a":true}}`},
		{in: ` { "a" : 0 } `},
		{in: `"1.0"`},
		{in: `[{"a":1},{"a":2}]`},
		{in: `{"a":{"a":1},"b":{"a":1}}`},
		{in: `{"a":1,"a":2}`, want: `{"a":2}`},
		{in: `{"a":1,"\u0061":2}`, want: `{"a":2}`},
		{in: `[1e2,1E+2,100.0,1.50,1e-7,0.0,-0,-0.0,12.5e-1,1.25e1,-1e1]`, want: `[100,100,100,1.5,0.0000001,0,0,0,1.25,12.5,-10]`},
		{in: `{"<":1.0}`, want: `{"<":1}`},
		{in: `{"a":1e38}`, want: `{"a":1` + strings.Repeat("0", 38) + `}`},
		{in: `{"a":1e39}`, err: "the number 1e39 has more than 39 digits"},
		{in: `{"a":1e-40}`, err: "the number 1e-40 has more than 39 digits"},
		{in: `{"a":1e99999999999999999999}`, err: "has more than 39 digits"},
		{in: long[:39], want: long[:39]},
		{in: long + "1", err: "has more than 39 digits"},
		{in: `{"a":}`, err: "the value is not JSON"},
		{in: `"\ud800"`, err: "the value is not JSON"},
		{in: "\"\xff\"", err: "the value is not JSON"},
	} {
		got, err := jsonb([]byte(c.in))
		if c.want == "" {
			c.want = c.in
		}
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: %v, want %s", c.in, err, c.err)
		case c.err == "" && (err != nil || string(got) != c.want):
			t.Errorf("%s: %s, %v; want %s", c.in, got, err, c.want)
		}
	}
}

// What jsonb keeps means what the text meant.
func FuzzJSONB(f *testing.F) {
	for _, seed := range []string{`{"a":1.0,"a":[1e2]}`, `[0.10,-0]`, `"\\\""`, `{"":{"":{}}}`, `1e-39`, `[[],{}]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := jsonb(text)
		if err != nil {
			return
		}
		again, err := jsonb(got)
		if err != nil || !bytes.Equal(again, got) {
			t.Fatalf("%s became %s and then %s, %v", text, got, again, err)
		}
		var was, is any
		for in, to := range map[*any][]byte{&was: text, &is: got} {
			decoder := json.NewDecoder(bytes.NewReader(to))
			decoder.UseNumber()
			if err := decoder.Decode(in); err != nil {
				t.Fatalf("%s: %v", to, err)
			}
		}
		if !sameJSON(was, is) {
			t.Fatalf("%s became %s", text, got)
		}
	})
}

func sameJSON(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		x, _ := new(big.Rat).SetString(a.String())
		y, ok2 := new(big.Rat).SetString(b.String())
		return ok && ok2 && x.Cmp(y) == 0
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameJSON(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if !sameJSON(a[k], b[k]) {
				return false
			}
		}
		return true
	}
	return a == b
}
