package stream

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestKindOf(t *testing.T) {
	for duck, want := range map[string]kind{
		"BOOLEAN": kindBool, "INTEGER": kindInt, "BIGINT": kindInt, "DOUBLE": kindFloat, "VARCHAR": kindText, "JSON": kindJSON,
		"TIMESTAMP": kindTime, "DECIMAL(38,12)": kindNumeric, "HUGEINT": kindNumeric, "MAP(VARCHAR, VARCHAR)": kindMap,
	} {
		if got, err := kindOf(duck); err != nil || got != want {
			t.Errorf("%s: %s, %v", duck, got, err)
		}
	}
	for _, duck := range []string{"DATE", "INTERVAL", "BLOB", "VARCHAR[]", "STRUCT(a INTEGER)", "MAP(VARCHAR, INTEGER)"} {
		if k, err := kindOf(duck); err == nil {
			t.Errorf("%s passes as %s", duck, k)
		}
	}
}

// randomRow draws columns and values that often meet the edges.
func randomRow(random *rand.Rand) ([]column, []value) {
	texts := []string{"", "a", "\x00", "é🚕", string(make([]byte, 200)), `{"a":1}`}
	numbers := []uint64{0, 1, math.MaxUint64, 1 << 63, math.Float64bits(math.NaN()), math.Float64bits(-0.5)}
	columns := make([]column, 1+random.IntN(20))
	values := make([]value, len(columns))
	for i := range columns {
		columns[i] = column{name: string(rune('a' + i)), kind: kind(random.IntN(int(kindMap) + 1))}
		switch {
		case random.IntN(4) == 0:
			values[i] = value{null: true}
		case columns[i].kind == kindBool:
			values[i] = value{num: uint64(random.IntN(2))}
		case columns[i].kind == kindInt, columns[i].kind == kindFloat, columns[i].kind == kindTime:
			values[i] = value{num: numbers[random.IntN(len(numbers))]}
		default:
			values[i] = textValue(texts[random.IntN(len(texts))])
		}
	}
	return columns, values
}

func TestRowRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 5000 {
		columns, values := randomRow(random)
		encoded := string(appendRow([]byte("before"), columns, values))[len("before"):]
		decoded := make([]value, len(columns))
		decodeRow(encoded, columns, decoded)
		if !slices.Equal(decoded, values) {
			t.Fatalf("%v: %v comes back as %v", columns, values, decoded)
		}
		for c := range columns {
			if got := columnOf(encoded, columns, c); got != values[c] {
				t.Fatalf("column %d of %v is %v", c, values, got)
			}
		}
	}
}

func FuzzRow(f *testing.F) {
	f.Add("", "", int64(0), 0.0, byte(0))
	f.Add("a\x00", "é", int64(-1), math.NaN(), byte(0xff))
	columns := []column{{"a", kindText}, {"b", kindInt}, {"c", kindBool}, {"d", kindJSON}, {"e", kindFloat}}
	f.Fuzz(func(t *testing.T, a, d string, b int64, e float64, nulls byte) {
		values := []value{textValue(a), intValue(b), {num: uint64(b) & 1}, textValue(d), floatValue(e)}
		for i := range values {
			if nulls&(1<<i) != 0 {
				values[i] = value{null: true}
			}
		}
		decoded := make([]value, len(columns))
		decodeRow(string(appendRow(nil, columns, values)), columns, decoded)
		if !slices.Equal(decoded, values) {
			t.Errorf("%v comes back as %v", values, decoded)
		}
	})
}

// Two rows agree in some columns exactly if their keys do.
func TestKeysAreEqualWhereValuesAre(t *testing.T) {
	columns := []column{{"a", kindText}, {"b", kindText}, {"c", kindFloat}, {"d", kindInt}}
	texts := []value{{null: true}, textValue(""), textValue("a"), textValue("ab"), textValue("b"), textValue("\x00"), textValue("\x01")}
	floats := []value{{null: true}, floatValue(0), floatValue(math.Copysign(0, -1)), floatValue(math.NaN()), {num: math.Float64bits(math.NaN()) | 1}, floatValue(1), floatValue(-1)}
	ints := []value{{null: true}, intValue(0), intValue(1), intValue(256), intValue(-1)}
	var rows [][]value
	random := rand.New(rand.NewPCG(2, 2))
	for range 300 {
		rows = append(rows, []value{texts[random.IntN(len(texts))], texts[random.IntN(len(texts))], floats[random.IntN(len(floats))], ints[random.IntN(len(ints))]})
	}
	same := func(k kind, a, b value) bool {
		if k == kindFloat && !a.null && !b.null {
			x, y := a.float(), b.float()
			return x == y || math.IsNaN(x) && math.IsNaN(y)
		}
		return a == b
	}
	for _, of := range [][]int{{0}, {1, 0}, {2}, {0, 1, 2, 3}, {3, 2}} {
		for _, x := range rows {
			kx, okx := appendKey(nil, string(appendRow(nil, columns, x)), columns, of)
			if null := slices.ContainsFunc(of, func(c int) bool { return x[c].null }); okx == null {
				t.Fatalf("key %v of %v: ok is %t", of, x, okx)
			}
			for _, y := range rows {
				ky, _ := appendKey(nil, string(appendRow(nil, columns, y)), columns, of)
				equal := !slices.ContainsFunc(of, func(c int) bool { return !same(columns[c].kind, x[c], y[c]) })
				if bytes.Equal(kx, ky) != equal {
					t.Fatalf("key %v of %v and %v: %q and %q", of, x, y, kx, ky)
				}
			}
		}
	}
}

func TestReduced(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "10": "10", "1.50": "1.5", "1.000": "1", "0.000": "0", "-3.100": "-3.1", "100.0": "100"} {
		if got := reduced(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}
