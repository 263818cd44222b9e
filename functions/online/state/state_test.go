package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"tripcast.dev/functions/online/state"
)

const kind = "Sample"

func sample() []byte {
	b := state.AppendHeader(nil, kind, 2)
	b = state.AppendUint(b, 300)
	b = state.AppendFloat(b, -0.1)
	b = state.AppendBytes(b, []byte("abc"))
	b = state.AppendUint(b, 2) // a sequence of two floats
	b = state.AppendFloat(b, 1)
	return state.AppendFloat(b, 2)
}

type decoded struct {
	version, n uint64
	f          float64
	raw        string
	floats     []float64
}

func decode(data []byte) (decoded, error) {
	var got decoded
	d, version := state.NewDecoder(data, kind, 2)
	got.version, got.n, got.f, got.raw = version, d.Uint(), d.Float(), string(d.Bytes())
	for range d.Len(8) {
		got.floats = append(got.floats, d.Float())
	}
	return got, d.Close()
}

func TestRoundTrip(t *testing.T) {
	got, err := decode(sample())
	if err != nil {
		t.Fatal(err)
	}
	want := decoded{2, 300, -0.1, "abc", []float64{1, 2}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("decoded %v, want %v", got, want)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	whole := sample()
	for n := range whole {
		var format *state.FormatError
		if _, err := decode(whole[:n]); !errors.As(err, &format) {
			t.Errorf("the first %d of %d bytes: error %v, want a *FormatError", n, len(whole), err)
		}
	}
}

func TestHostile(t *testing.T) {
	head := state.AppendHeader(nil, kind, 1)
	tests := []struct {
		name  string
		data  []byte
		newer bool
	}{
		{name: "empty"},
		{name: "another kind", data: state.AppendHeader(nil, "Other", 1)},
		{name: "version 0", data: state.AppendHeader(nil, kind, 0)},
		{name: "a newer version", data: state.AppendHeader(nil, kind, 3), newer: true},
		{name: "an endless integer", data: append(head[:len(head):len(head)], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{name: "not a number", data: state.AppendFloat(state.AppendUint(head[:len(head):len(head)], 1), math.NaN())},
		{name: "infinite", data: state.AppendFloat(state.AppendUint(head[:len(head):len(head)], 1), math.Inf(-1))},
		{name: "bytes after the end", data: append(sample(), 0)},
		{name: "a huge sequence", data: state.AppendUint(state.AppendBytes(state.AppendFloat(state.AppendUint(head[:len(head):len(head)], 1), 1), nil), 1<<60)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := decode(tt.data)
			var format *state.FormatError
			if !errors.As(err, &format) {
				t.Fatalf("error %v, want a *FormatError", err)
			}
			if format.Newer != tt.newer {
				t.Errorf("Newer = %t in %v, want %t", format.Newer, err, tt.newer)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample())
	f.Add([]byte{})
	f.Add(state.AppendHeader(nil, kind, 3))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decode(data)
		if err == nil && len(got.floats) > len(data)/8 {
			t.Errorf("%d floats from %d bytes", len(got.floats), len(data))
		}
	})
}

func Example() {
	b := state.AppendHeader(nil, "Counter", 1)
	b = state.AppendUint(b, 42)

	d, version := state.NewDecoder(b, "Counter", 1)
	n := d.Uint()
	fmt.Println(version, n, d.Close())

	d, _ = state.NewDecoder(b, "Scaler", 1)
	fmt.Println(d.Close())
	// Output:
	// 1 42 <nil>
	// state of Scaler: is of kind "Counter"
}

func TestFloatWithin(t *testing.T) {
	for v, ok := range map[float64]bool{-1: true, 0.5: true, 2: true, -1.1: false, 2.1: false, math.Inf(1): false} {
		d, _ := state.NewDecoder(state.AppendFloat(state.AppendHeader(nil, kind, 1), v), kind, 1)
		got := d.FloatWithin(-1, 2)
		if err := d.Close(); (err == nil) != ok || ok && got != v || !ok && got != 0 {
			t.Errorf("%v within -1 and 2 is read as %v, error %v", v, got, err)
		}
	}
}

// A part is appended as its bytes would be, whatever is in the buffer before it
// and however much room there is behind it.
func TestAppendPart(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 20_000} {
		part := make([]byte, size)
		for i := range part {
			part[i] = byte(i)
		}
		appended := func(b []byte) ([]byte, error) { return append(b, part...), nil }
		want := state.AppendBytes([]byte("before"), part)
		for _, room := range []int{0, 1, 2, size, 2*size + 64} {
			b := append(make([]byte, 0, len("before")+room), "before"...)
			if got, err := state.AppendPart(b, appended); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes with room for %d: error %v, or other bytes than AppendBytes appends", size, room, err)
			}
		}
	}
	broken := errors.New("no encoding")
	if _, err := state.AppendPart(nil, func([]byte) ([]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("the error of a part is %v", err)
	}
}
