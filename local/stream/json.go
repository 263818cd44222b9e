package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// errNotJSON is what a value is that no source of Materialize takes.
var errNotJSON = errors.New("the value is not JSON")

// jsonb reads JSON as Materialize's jsonb does (src/repr/src/adt/jsonb.rs): of a
// key that an object has twice the last value counts, and a number is a numeric: 1e2
// and 100.0 are 100, and one of more than 39 digits is refused. Nearly all text is
// so already, and stays as it is.
func jsonb(text []byte) ([]byte, error) {
	if !validJSON(text) {
		return nil, errNotJSON
	}
	if plainJSON(text) {
		return text, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, errNotJSON // deeper than encoding/json goes
	}
	v, err := numerics39(v)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, errNotJSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// numerics39 writes every number in v as a numeric of at most 39 digits.
func numerics39(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		return numeric39(v.String())
	case []any:
		for i := range v {
			if v[i], err = numerics39(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = numerics39(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

const numericDigits = 39

// numeric39 is a number of JSON in standard notation, without zeros at the end.
func numeric39(number string) (json.Number, error) {
	tooLong := fmt.Errorf("the number %.50s has more than %d digits", number, numericDigits)
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	sign := ""
	if rest, ok := strings.CutPrefix(mantissa, "-"); ok {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "0", nil
	}
	point := len(digits) - len(fraction) // where it stands in digits
	if exponent != "" {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > 1000 || n < -1000 {
			return "", tooLong
		}
		point += n
	}
	digits = strings.TrimRight(digits, "0")
	if point > numericDigits || len(digits) > numericDigits || len(digits)-point > numericDigits {
		return "", tooLong
	}
	switch {
	case point <= 0:
		return json.Number(sign + "0." + strings.Repeat("0", -point) + digits), nil
	case point >= len(digits):
		return json.Number(sign + digits + strings.Repeat("0", point-len(digits))), nil
	}
	return json.Number(sign + digits[:point] + "." + digits[point:]), nil
}

// plainJSON reports whether text, which is JSON, is as jsonb keeps it but for white
// space and the order of keys: no key twice, no number with an exponent, a
// zero at its end, or very many digits. It may be wrong in saying no.
func plainJSON(text []byte) bool {
	var keys [][]byte // of all objects that are open
	var opened []int  // where the keys of each begin; -1 for an array
	key := false      // a string that comes next is one
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{':
			opened, key = append(opened, len(keys)), true
		case c == '[':
			opened, key = append(opened, -1), false
		case c == '}' || c == ']':
			if from := opened[len(opened)-1]; from >= 0 {
				keys = keys[:from]
			}
			opened = opened[:len(opened)-1]
		case c == ',':
			key = opened[len(opened)-1] >= 0
		case c == '"':
			end := i + 1
			for text[end] != '"' {
				if text[end] == '\\' {
					end++
				}
				end++
			}
			if key {
				name := text[i+1 : end]
				of := keys[opened[len(opened)-1]:]
				if bytes.IndexByte(name, '\\') >= 0 || slices.ContainsFunc(of, func(k []byte) bool { return bytes.Equal(k, name) }) || len(of) > 100 {
					return false
				}
				keys, key = append(keys, name), false
			}
			i = end
		case c == '-' || '0' <= c && c <= '9':
			end := i + 1
			for end < len(text) && strings.IndexByte("0123456789.eE+-", text[end]) >= 0 {
				end++
			}
			if !plainNumber(text[i:end]) {
				return false
			}
			i = end - 1
		}
	}
	return true
}

func plainNumber(number []byte) bool {
	if len(number) > numericDigits || bytes.ContainsAny(number, "eE") || number[0] == '-' && number[1] == '0' {
		return false
	}
	return bytes.IndexByte(number, '.') < 0 || number[len(number)-1] != '0'
}

// validJSON is stricter than encoding/json, as Materialize and DuckDB are: text
// that is not UTF-8 and half a surrogate pair are no JSON. One such record
// would fail every query that meets it.
func validJSON(text []byte) bool {
	if !utf8.Valid(text) || !json.Valid(text) {
		return false
	}
	for rest := text; ; {
		n := bytes.IndexByte(rest, '\\')
		if n < 0 {
			return true
		}
		rest = rest[n:]
		first := escaped(rest)
		switch {
		case first < 0: // \n and the like
			rest = rest[2:]
		case !utf16.IsSurrogate(first):
			rest = rest[6:]
		case utf16.DecodeRune(first, escaped(rest[6:])) == utf8.RuneError:
			return false
		default:
			rest = rest[12:]
		}
	}
}

// escaped is the code unit of the \uXXXX that text starts with, -1 if it does not.
func escaped(text []byte) rune {
	if !bytes.HasPrefix(text, []byte(`\u`)) {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}
