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
// and 100.0 are 100, and one of more than 39 digits is refused. Most text is so
// already, and stays as it is.
func jsonb(text []byte) ([]byte, error) {
	if !validJSON(text) {
		return nil, errNotJSON
	}
	written, distinct, err := writeNumbers(text)
	if err != nil || distinct {
		return written, err
	}
	decoder := json.NewDecoder(bytes.NewReader(written))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return nil, errNotJSON // deeper than encoding/json goes
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, errNotJSON
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

const numericDigits = 39

// appendNumeric writes a number of JSON in standard notation, without zeros at the
// end.
func appendNumeric(b, number []byte) ([]byte, error) {
	tooLong := fmt.Errorf("the number %.50s has more than %d digits", number, numericDigits)
	mantissa, exponent, _ := strings.Cut(strings.ToLower(string(number)), "e")
	sign := ""
	if rest, ok := strings.CutPrefix(mantissa, "-"); ok {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return append(b, '0'), nil
	}
	point := len(digits) - len(fraction) // where it stands in digits
	if exponent != "" {
		n, err := strconv.Atoi(exponent)
		if err != nil || n > 1000 || n < -1000 {
			return nil, tooLong
		}
		point += n
	}
	digits = strings.TrimRight(digits, "0")
	if point > numericDigits || len(digits) > numericDigits || len(digits)-point > numericDigits {
		return nil, tooLong
	}
	b = append(b, sign...)
	switch {
	case point <= 0:
		return append(append(append(b, "0."...), strings.Repeat("0", -point)...), digits...), nil
	case point >= len(digits):
		return append(append(b, digits...), strings.Repeat("0", point-len(digits))...), nil
	}
	return append(append(append(b, digits[:point]...), '.'), digits[point:]...), nil
}

// writeNumbers writes the numbers of a text, which is JSON, as numerics, and says
// whether no object has a key twice. It may be wrong in saying no.
func writeNumbers(text []byte) (written []byte, distinct bool, err error) {
	w := numbers{text: text, distinct: true}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' || c == '[':
			w.open(c)
		case c == '}' || c == ']':
			w.close()
		case c == ',':
			w.key = w.opened[len(w.opened)-1] >= 0
		case c == '"':
			i = w.string(i)
		case c == '-' || '0' <= c && c <= '9':
			if i, err = w.number(i); err != nil {
				return nil, false, err
			}
		}
	}
	if w.out == nil {
		return text, w.distinct, nil
	}
	return append(w.out, text[w.from:]...), w.distinct, nil
}

type numbers struct {
	text     []byte
	out      []byte // what has been written of text, up to from; nil if nothing is otherwise
	from     int
	keys     [][]byte // of all objects that are open
	opened   []int    // where the keys of each begin; -1 for an array
	key      bool     // a string that comes next is one
	distinct bool
}

func (w *numbers) open(c byte) {
	if w.key = c == '{'; w.key {
		w.opened = append(w.opened, len(w.keys))
	} else {
		w.opened = append(w.opened, -1)
	}
}

func (w *numbers) close() {
	last := len(w.opened) - 1
	if from := w.opened[last]; from >= 0 {
		w.keys = w.keys[:from]
	}
	w.opened, w.key = w.opened[:last], false
}

// string reads the one that begins at i, and says where it ends.
func (w *numbers) string(i int) int {
	end := i + 1
	for w.text[end] != '"' {
		if w.text[end] == '\\' {
			end++
		}
		end++
	}
	if !w.key {
		return end
	}
	name, of := w.text[i+1:end], w.keys[w.opened[len(w.opened)-1]:]
	if bytes.IndexByte(name, '\\') >= 0 || len(of) > 100 || slices.ContainsFunc(of, func(k []byte) bool { return bytes.Equal(k, name) }) {
		w.distinct = false
	}
	w.keys, w.key = append(w.keys, name), false
	return end
}

// number reads the one that begins at i, and says where it ends.
func (w *numbers) number(i int) (int, error) {
	end := i + 1
	for end < len(w.text) && strings.IndexByte("0123456789.eE+-", w.text[end]) >= 0 {
		end++
	}
	if number := w.text[i:end]; !plainNumber(number) {
		out, err := appendNumeric(append(w.out, w.text[w.from:i]...), number)
		if err != nil {
			return 0, err
		}
		w.out, w.from = out, end
	}
	return end - 1, nil
}

func plainNumber(number []byte) bool {
	if len(number) > numericDigits || bytes.ContainsAny(number, "eE") || number[0] == '-' && number[1] == '0' && len(number) == 2 {
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
