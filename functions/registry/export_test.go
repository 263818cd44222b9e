package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online"
)

// exportable is a version that is the same every time.
func exportable(t testing.TB) *Kept {
	t.Helper()
	spec := catalogueOf(t, "one=LinearRegression").Models[0]
	p, err := spec.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range labelsN(0, 3) {
		p.Learn(p.Vector(nil, l.Features), l.Y)
	}
	state, err := p.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Kept{
		Spec: spec, State: state,
		Snapshot: Snapshot{
			Version: 2, Count: 3, Commit: "3w5e11264sgsf", Spec: spec.Hash(), StateBytes: len(state), Last: "trip-2",
			At: time.Date(2026, 5, 4, 3, 2, 1, 7e6, time.UTC),
		},
	}
}

// file is one of a header and a state, whatever they are.
func file(header string, state []byte) []byte { return appendFile(nil, []byte(header), state) }

func TestFile(t *testing.T) {
	k := exportable(t)
	data, err := k.AppendFile([]byte("before"))
	if err != nil {
		t.Fatal(err)
	}
	data, _ = bytes.CutPrefix(data, []byte("before"))
	const golden = "testdata/one.v1.model" // of this format for good: a new one gets another
	if *update {
		if err := os.WriteFile(golden, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, want) {
		t.Errorf("the file is not what is in %s:\n%q", golden, data)
	}
	read, err := ParseFile(want, testKinds())
	if err != nil {
		t.Fatal(err)
	}
	if read.Snapshot != k.Snapshot || !bytes.Equal(read.State, k.State) || read.Spec.Name != "one" || read.Spec.Hash() != k.Spec.Hash() {
		t.Errorf("read as %+v, want %+v", read.Snapshot, k.Snapshot)
	}
	if _, err := read.Pipeline(); err != nil {
		t.Error(err)
	}
}

func TestParseFileRefuses(t *testing.T) {
	k := exportable(t)
	good, err := k.AppendFile(nil)
	if err != nil {
		t.Fatal(err)
	}
	header, _, err := splitFile(good)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(from, to string) []byte {
		t.Helper()
		if !bytes.Contains(header, []byte(from)) {
			t.Fatalf("%s is not in the header %s", from, header)
		}
		return file(strings.Replace(string(header), from, to, 1), k.State)
	}
	at := func(i int, b byte) []byte {
		data := bytes.Clone(good)
		data[i] = b
		return data
	}
	resealed := func(i int, b ...byte) []byte {
		data := bytes.Clone(good)
		copy(data[i:], b)
		data = data[:len(data)-sha256.Size]
		sum := sha256.Sum256(data)
		return append(data, sum[:]...)
	}
	for name, tt := range map[string]struct {
		data []byte
		says string
	}{
		"nothing":                  {nil, "does not begin as one"},
		"a state alone":            {k.State, "does not begin as one"},
		"as text":                  {bytes.Replace(good, []byte("\r\n"), []byte("\n"), 1), "transferred as text"},
		"a newer format":           {resealed(8, 2), "format version 2"},
		"a header too large":       {resealed(12, 0xff, 0xff, 0xff, 0xff), "its header would have"},
		"a header too long":        {resealed(12, 0xff, 0xff, 1, 0), "ends early"},
		"more":                     {append(bytes.Clone(good), 0), "1 bytes after its end"},
		"a byte of the state":      {at(len(good)-sha256.Size-1, 0x55), "checksum"},
		"a byte of the header":     {at(20, 'X'), "checksum"},
		"no JSON":                  {file("header", k.State), "its header"},
		"an unknown field":         {changed(`"version"`, `"future":1,"version"`), "future"},
		"version 0":                {changed(`"version":2`, `"version":0`), "version 0"},
		"a version too large":      {changed(`"version":2`, `"version":9223372036854775807`), "version 9223372036854775807"},
		"a count too large":        {changed(`"count":3`, `"count":18446744073709551615`), "count 18446744073709551615"},
		"no commit":                {changed(`3w5e11264sgsf`, ``), "commit"},
		"a date too late":          {changed(`"committed_at":"2026`, `"committed_at":"-001`), "header"},
		"a date before":            {changed(`"committed_at":"2026`, `"committed_at":"1026`), "1026"},
		"an unknown kind":          {changed(`LinearRegression`, `Oracle`), `"Oracle" is not a known model`},
		"another parameter":        {changed(`"LinearRegression":{}`, `"LinearRegression":{"lr":0.5}`), "the programs are too different"},
		"a name that cannot be":    {changed(`"name":"one"`, `"name":"One!"`), "lower-case"},
		"no specification":         {file(`{"spec":null,"version":1,"commit":"a","committed_at":"2026-01-01T00:00:00Z"}`, nil), "its specification"},
		"a list of specifications": {file(`{"spec":[],"version":1,"commit":"a","committed_at":"2026-01-01T00:00:00Z"}`, nil), "its specification"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseFile(tt.data, testKinds()); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %q in it", err, tt.says)
			}
		})
	}
	for n := range good {
		if _, err := ParseFile(good[:n], testKinds()); !errors.Is(err, ErrFile) {
			t.Fatalf("%d bytes of it: %v", n, err)
		}
	}
}

// A file that is read is written again as it was read, whether or not its state is sound.
func FuzzParseFile(f *testing.F) {
	k := exportable(f)
	good, err := k.AppendFile(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add(good[:len(good)-sha256.Size], true)
	f.Add([]byte(fileMagic), false)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, seal bool) {
		if seal { // or no change would come past the checksum
			sum := sha256.Sum256(data)
			data = append(slices.Clone(data), sum[:]...)
		}
		k, err := ParseFile(data, testKinds())
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Errorf("error %v, want an ErrFile", err)
			}
			return
		}
		again, err := k.AppendFile(nil)
		if err != nil {
			var broken *StateError
			if !errors.As(err, &broken) {
				t.Errorf("error %v, want a *StateError", err)
			}
			return
		}
		read, err := ParseFile(again, testKinds())
		if err != nil || read.Snapshot != k.Snapshot || !bytes.Equal(read.State, k.State) {
			t.Errorf("written again, it is read as %+v (%v), was %+v", read, err, k)
		}
	})
}

func TestSpecDiffers(t *testing.T) {
	parse := func(text string) online.Spec {
		c, err := online.ParseCatalogue([]byte("champion: m\nmodels: [{name: m, "+text+"}]"), testKinds())
		if err != nil {
			t.Fatal(err)
		}
		return c.Models[0]
	}
	for _, tt := range []struct {
		file, here string
		want       []string
	}{
		{"features: [a], model: LinearRegression", "features: [a], model: LinearRegression", nil},
		{
			"features: [a, b], model: {LinearRegression: {lr: 0.5}}", "features: [a], model: LinearRegression, seed: 4",
			[]string{
				`features[1] is "b" in the file, and not in the catalogue`,
				`model.LinearRegression.lr is 0.5 in the file, and not in the catalogue`,
				`seed is not in the file, and 4 in the catalogue`,
			},
		},
		{
			"features: [a], transformers: [StandardScaler], model: {KNNRegressor: {p: 1}}", "features: [b], model: {KNNRegressor: {n_neighbors: 3}}",
			[]string{
				`features[0] is "a" in the file and "b" in the catalogue`,
				`model.KNNRegressor.n_neighbors is not in the file, and 3 in the catalogue`,
				`model.KNNRegressor.p is 1 in the file, and not in the catalogue`,
				`transformers is [{"StandardScaler":{}}] in the file, and not in the catalogue`,
			},
		},
	} {
		if got := differences(parse(tt.file), parse(tt.here)); !slices.Equal(got, tt.want) {
			t.Errorf("%s and %s: %q, want %q", tt.file, tt.here, got, tt.want)
		}
	}
	err := &SpecDiffersError{Model: "one", Differences: []string{"a", "b", "c", "d", "e", "f", "g"}}
	if text := err.Error(); !strings.Contains(text, "e; and 2 more: put that of the file") || strings.Contains(text, "f") && strings.Contains(text, "; f") {
		t.Errorf("%q", text)
	}
}

// What a version says of itself has no number that a header cannot hold.
func TestHeaderLimits(t *testing.T) {
	k := exportable(t)
	k.Snapshot.Version, k.Snapshot.Count = maxVersion, math.MaxInt64-1
	data, err := k.AppendFile(nil)
	if err != nil {
		t.Fatal(err)
	}
	read, err := ParseFile(data, testKinds())
	if err != nil || read.Snapshot != k.Snapshot {
		t.Errorf("%+v (%v)", read, err)
	}
	if _, err := json.Marshal(read.Snapshot); err != nil {
		t.Error(err)
	}
}
