package monitor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Spaces of numbers: neither breaks a line.
const (
	unitSpace     = "\u00a0"
	thousandSpace = "\u202f"
	minus         = "\u2212"
	nothing       = "\u2013" // what is not known
)

// functions are what templates say numbers and times with. Numbers may be of any
// kind, or pointers to them, and times a time.Time or milliseconds since 1970;
// what is nil, zero as a time, or no number is a dash.
func functions(static *static) template.FuncMap {
	return template.FuncMap{
		"asset":   static.path,  // the URL of a static file
		"seconds": seconds,      // 12.3 s, 5 min 20 s, 1 h 05 min
		"millis":  millis,       // 13 ms, 1.25 s
		"number":  number,       // 12 345
		"bytes":   byteSize,     // 25.5 kB
		"error":   errorSeconds, // 349.6 s, whatever its size: columns of them are compared
		"signed":  signed,       // +3.2 s, −3.2 s: one is too much or too little
		"clock":   clock,        // Mon 4 Jan 2016 08:59, by the city's clock
		"when":    when,         // <time>2026-11-24 19:09:28 UTC</time>
		"rfc3339": rfc3339,      // 2026-11-24T19:09:28Z, for a datetime attribute
		"short":   short,        // 8 characters of a hash
		"json":    prettyJSON,   // indented; bytes that are no JSON as they are
	}
}

// float reads a number. It reports false for none.
func float(v any) (float64, bool) {
	value := reflect.ValueOf(v)
	for value.Kind() == reflect.Pointer {
		value = value.Elem() // of nil it is invalid
	}
	switch {
	case !value.IsValid():
		return 0, false
	case value.CanInt():
		return float64(value.Int()), true
	case value.CanUint():
		return float64(value.Uint()), true
	case value.CanFloat():
		f := value.Float()
		return f, !math.IsNaN(f) && !math.IsInf(f, 0)
	}
	return 0, false
}

func seconds(v any) string {
	s, ok := float(v)
	if !ok {
		return nothing
	}
	sign := ""
	if s < 0 {
		sign, s = minus, -s
	}
	if s < 59.95 {
		return sign + strconv.FormatFloat(s, 'f', 1, 64) + unitSpace + "s"
	}
	whole := int64(math.Round(s))
	if whole < 3600 {
		return fmt.Sprintf("%s%d%smin%s%02d%ss", sign, whole/60, unitSpace, unitSpace, whole%60, unitSpace)
	}
	minutes := int64(math.Round(s / 60))
	return fmt.Sprintf("%s%s%sh%s%02d%smin", sign, grouped(minutes/60), unitSpace, unitSpace, minutes%60, unitSpace)
}

func millis(v any) string {
	ms, ok := float(v)
	switch {
	case !ok:
		return nothing
	case math.Abs(ms) < 999.5:
		return number(math.Round(ms)) + unitSpace + "ms"
	case math.Abs(ms) < 59_950:
		return strings.Replace(strconv.FormatFloat(ms/1000, 'f', 2, 64), "-", minus, 1) + unitSpace + "s"
	}
	return seconds(ms / 1000)
}

func number(v any) string {
	f, ok := float(v)
	if !ok {
		return nothing
	}
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return grouped(int64(f))
	}
	return strings.Replace(strconv.FormatFloat(f, 'g', 6, 64), "-", minus, 1)
}

// grouped puts a space between thousands.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = minus, digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + thousandSpace + digits[i:]
	}
	return sign + digits
}

func byteSize(v any) string {
	n, ok := float(v)
	switch {
	case !ok:
		return nothing
	case n < 1000:
		return number(n) + unitSpace + "B"
	case n < 999_950:
		return strconv.FormatFloat(n/1e3, 'f', 1, 64) + unitSpace + "kB"
	}
	return strconv.FormatFloat(n/1e6, 'f', 1, 64) + unitSpace + "MB"
}

// tooLarge is from where on an error is no longer written out: a model that has
// exploded must not break a table.
const tooLarge = 99_999.5

func errorSeconds(v any) string {
	f, ok := float(v)
	switch {
	case !ok:
		return nothing
	case math.Abs(f) < tooLarge:
		return tenths(f) + unitSpace + "s"
	}
	return scientific(f) + unitSpace + "s"
}

func signed(v any) string {
	f, ok := float(v)
	if !ok {
		return nothing
	}
	text := errorSeconds(f)
	if f > 0 && text != "0.0"+unitSpace+"s" {
		return "+" + text
	}
	return text
}

// tenths has one digit behind the point, and no sign where it is 0.
func tenths(f float64) string {
	before, after, _ := strings.Cut(strconv.FormatFloat(math.Abs(f), 'f', 1, 64), ".")
	whole, err := strconv.ParseInt(before, 10, 64)
	if err != nil {
		return nothing
	}
	text := grouped(whole) + "." + after
	if f < 0 && text != "0.0" {
		return minus + text
	}
	return text
}

// scientific is 1.2 × 10⁷.
func scientific(f float64) string {
	digits, power, _ := strings.Cut(strconv.FormatFloat(f, 'e', 1, 64), "e+")
	raised := strings.Map(func(c rune) rune { return []rune("⁰¹²³⁴⁵⁶⁷⁸⁹")[c-'0'] }, strings.TrimLeft(power, "0"))
	return strings.Replace(digits, "-", minus, 1) + unitSpace + "×" + unitSpace + "10" + raised
}

// moment reads a time. It reports false for none.
func moment(v any) (time.Time, bool) {
	switch t := v.(type) {
	case time.Time:
		return t.UTC(), !t.IsZero()
	case int64:
		return time.UnixMilli(t).UTC(), t != 0
	}
	return time.Time{}, false
}

func clock(v any) string {
	t, ok := moment(v)
	if !ok {
		return nothing
	}
	return t.Format("Mon 2 Jan 2006 15:04")
}

func rfc3339(v any) string {
	t, ok := moment(v)
	if !ok {
		return ""
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

func when(v any) template.HTML {
	t, ok := moment(v)
	if !ok {
		return nothing
	}
	return template.HTML(`<time datetime="` + rfc3339(t) + `">` + t.Format("2006-01-02 15:04:05 UTC") + `</time>`)
}

func short(s string) string { return s[:min(8, len(s))] }

func prettyJSON(v any) (string, error) {
	if data, ok := v.([]byte); ok {
		var indented bytes.Buffer
		switch {
		case json.Indent(&indented, data, "", "  ") == nil:
			return indented.String(), nil
		case utf8.Valid(data):
			return string(data), nil
		}
		return strconv.Quote(string(data)), nil
	}
	data, err := json.MarshalIndent(v, "", "  ")
	return string(data), err
}
