package monitor

import (
	"math"
	"strings"
	"testing"
	"time"

	"tripcast.dev/functions/online"
)

func TestWords(t *testing.T) {
	var none *float64
	half := 0.5
	at := time.Date(2016, 1, 4, 8, 59, 3, 0, time.FixedZone("", 3600))
	for _, tt := range []struct{ got, want string }{
		{seconds(12.34), "12.3 s"},
		{seconds(&half), "0.5 s"},
		{seconds(none), "–"},
		{seconds(-3.0), "−3.0 s"},
		{seconds(59.96), "1 min 00 s"},
		{seconds(320), "5 min 20 s"},
		{seconds(3599.6), "1 h 00 min"},
		{seconds(3900), "1 h 05 min"},
		{seconds(uint8(7)), "7.0 s"},
		{millis(12.6), "13 ms"},
		{millis(999.7), "1.00 s"},
		{millis(int64(1250)), "1.25 s"},
		{millis(60_000), "1 min 00 s"},
		{millis(math.NaN()), "–"},
		{number(0), "0"},
		{number(999), "999"},
		{number(uint64(1234567)), "1 234 567"},
		{number(-12345), "−12 345"},
		{number(-0.25), "−0.25"},
		{number(math.Inf(1)), "–"},
		{number("x"), "–"},
		{number(nil), "–"},
		{byteSize(999), "999 B"},
		{byteSize(25487), "25.5 kB"},
		{byteSize(999_960), "1.0 MB"},
		{errorSeconds(349.64), "349.6 s"},
		{errorSeconds(-12345.0), "−12 345.0 s"},
		{errorSeconds(99_999.6), "1.0 × 10⁵ s"},
		{errorSeconds(-1.25e12), "−1.2 × 10¹² s"},
		{errorSeconds(none), "–"},
		{signed(3.21), "+3.2 s"},
		{signed(-3.21), "−3.2 s"},
		{signed(-0.01), "0.0 s"},
		{signed(0.01), "0.0 s"},
		{signed(2.5e7), "+2.5 × 10⁷ s"},
		{signed(none), "–"},
		{clock(at), "Mon 4 Jan 2016 07:59"},
		{clock(at.UnixMilli()), "Mon 4 Jan 2016 07:59"},
		{clock(int64(0)), "–"},
		{clock(time.Time{}), "–"},
		{string(when(at)), `<time datetime="2016-01-04T07:59:03.000Z">2016-01-04 07:59:03 UTC</time>`},
		{string(when(time.Time{})), "–"},
		{rfc3339(int64(0)), ""},
		{short("0123456789"), "01234567"},
		{short("0123"), "0123"},
	} {
		if got := strings.NewReplacer(unitSpace, " ", thousandSpace, " ").Replace(tt.got); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

func TestPrettyJSON(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{[]byte(`{"b":1,"a":[]}`), "{\n  \"b\": 1,\n  \"a\": []\n}"},
		{[]byte("not <JSON>"), "not <JSON>"},
		{[]byte{0xff, 0}, `"\xff\x00"`},
		{[]byte{}, ""},
		{map[string]int{"a": 1}, "{\n  \"a\": 1\n}"},
	} {
		if got, err := prettyJSON(tt.v); err != nil || got != tt.want {
			t.Errorf("%v: %s, %v, want %s", tt.v, got, err, tt.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	catalogue := testCatalogue(t)
	grid, _ := catalogue.Find("city-grid")
	trees, _ := catalogue.Find("trees")
	if got := describe(grid); got.kind != "LinearRegression" || got.parameters != `name: city-grid
features: [a, b]
transformers:
    - StandardScaler: {}
model:
    LinearRegression: {}
` {
		t.Errorf("%s:\n%s", got.kind, got.parameters)
	}
	got := describe(trees)
	if got.kind != "TargetTransformRegressor of BaggingRegressor of HoeffdingTreeRegressor" {
		t.Errorf("kind %s", got.kind)
	}
	wantIn(t, got.parameters, "n_models: 3", "HoeffdingTreeRegressor", "seed: 7")
	if got := describe(online.Spec{}); got != (described{}) {
		t.Errorf("nothing is described as %v", got)
	}
}
