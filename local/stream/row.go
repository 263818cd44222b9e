package stream

import (
	"encoding/binary"
	"math"
	"strings"
)

// kind is a column's type, as far as the stand-in tells types apart.
type kind uint8

const (
	kindBool kind = iota
	kindInt
	kindFloat
	kindText
	kindJSON
	kindTime    // timestamp, microseconds since 1970
	kindNumeric // exact decimal, kept as text without trailing zeros
	kindMap     // map[text=>text], kept as a JSON object

	// What only a query's answer has.
	kindDate   // kept as text
	kindList   // of text, kept as a JSON array
	kindBools  // a list of booleans
	kindInts   // a list of integers
	kindVector // int2vector of the catalogues, kept as it is shown
)

// column is one column of a relation.
type column struct {
	name string
	kind kind
}

// kindOf reads a type as DuckDB's DESCRIBE prints it.
func kindOf(duck string) (kind, error) {
	switch duck {
	case "BOOLEAN":
		return kindBool, nil
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER":
		return kindInt, nil
	case "FLOAT", "DOUBLE":
		return kindFloat, nil
	case "VARCHAR":
		return kindText, nil
	case "JSON", "jsonb":
		return kindJSON, nil
	case "TIMESTAMP", "TIMESTAMP WITH TIME ZONE":
		return kindTime, nil
	case "HUGEINT", "UBIGINT":
		return kindNumeric, nil
	case "MAP(VARCHAR, VARCHAR)":
		return kindMap, nil
	}
	if strings.HasPrefix(duck, "DECIMAL") {
		return kindNumeric, nil
	}
	return 0, unsupported("type %s is not supported: cast it to bool, int8, float8, text, jsonb, timestamp, numeric or map[text=>text]", duck)
}

// answerKindOf is kindOf for what a query may return beyond what a view may have.
func answerKindOf(duck string) (kind, error) {
	switch {
	case duck == "DATE":
		return kindDate, nil
	case duck == "SMALLINT[]":
		return kindVector, nil
	case duck == "BOOLEAN[]":
		return kindBools, nil
	case duck == "INTEGER[]", duck == "BIGINT[]":
		return kindInts, nil
	case strings.HasSuffix(duck, "[]"):
		return kindList, nil
	case duck == "UUID" || strings.HasPrefix(duck, "ENUM"):
		return kindText, nil
	}
	return kindOf(duck)
}

// String is the type's name in Materialize.
func (k kind) String() string {
	return [...]string{"boolean", "bigint", "double precision", "text", "jsonb", "timestamp", "numeric", "map[text=>text]", "date", "text[]", "boolean[]", "bigint[]", "int2vector"}[k]
}

// Rows are kept encoded: one string a row is one allocation and no pointers for
// the garbage collector to follow, and equal rows are equal strings.
//
// The encoding is a bitmap of NULLs followed by the columns that are not:
// 8 bytes for numbers and times, 1 for booleans, length and bytes for the rest.

// value is one decoded field.
type value struct {
	null bool
	num  uint64 // bool, int, time; bits of a float
	text string // text, JSON, numeric, map
}

func intValue(v int64) value      { return value{num: uint64(v)} }
func floatValue(v float64) value  { return value{num: math.Float64bits(v)} }
func textValue(v string) value    { return value{text: v} }
func (v value) int() int64        { return int64(v.num) }
func (v value) float() float64    { return math.Float64frombits(v.num) }
func (v value) bool() bool        { return v.num != 0 }
func bitmapBytes(columns int) int { return (columns + 7) / 8 }

// appendRow encodes values, which follow columns.
func appendRow(b []byte, columns []column, values []value) []byte {
	start := len(b)
	b = append(b, make([]byte, bitmapBytes(len(columns)))...)
	for i, v := range values {
		if v.null {
			b[start+i/8] |= 1 << (i % 8)
			continue
		}
		b = appendField(b, columns[i].kind, v)
	}
	return b
}

func appendField(b []byte, k kind, v value) []byte {
	switch k {
	case kindBool:
		return append(b, byte(v.num))
	case kindInt, kindFloat, kindTime:
		return binary.LittleEndian.AppendUint64(b, v.num)
	default:
		b = binary.AppendUvarint(b, uint64(len(v.text)))
		return append(b, v.text...)
	}
}

// decodeRow fills values, one for each column. Rows are only ever made by
// appendRow in this process, so a row that does not fit is a bug, not input.
func decodeRow(row string, columns []column, values []value) {
	at := bitmapBytes(len(columns))
	for i := range columns {
		if row[i/8]&(1<<(i%8)) != 0 {
			values[i] = value{null: true}
			continue
		}
		values[i], at = field(row, at, columns[i].kind)
	}
}

func field(row string, at int, k kind) (value, int) {
	switch k {
	case kindBool:
		return value{num: uint64(row[at])}, at + 1
	case kindInt, kindFloat, kindTime:
		return value{num: fixed64(row[at : at+8])}, at + 8
	default:
		n, size := uvarint(row[at:])
		at += size
		return value{text: row[at : at+int(n)]}, at + int(n)
	}
}

func fixed64(s string) uint64 {
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func uvarint(s string) (n uint64, size int) {
	for shift := 0; ; shift += 7 {
		c := s[size]
		size++
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n, size
		}
	}
}

// appendKey appends the values of some columns of a row, such that two rows
// agree in those columns exactly if the bytes do. ok is false if one is NULL:
// NULL joins nothing.
func appendKey(b []byte, row string, columns []column, of []int) (key []byte, ok bool) {
	ok = true
	for _, c := range of {
		v := columnOf(row, columns, c)
		ok = ok && !v.null
		b = appendKeyField(b, columns[c].kind, v)
	}
	return b, ok
}

func appendKeyField(b []byte, k kind, v value) []byte {
	if v.null {
		return append(b, 0)
	}
	if k == kindFloat {
		// Two zeros and many NaNs are equal in SQL.
		switch f := v.float(); {
		case f == 0:
			v = floatValue(0)
		case math.IsNaN(f):
			v = floatValue(math.NaN())
		}
	}
	return appendField(append(b, 1), k, v)
}

// columnOf decodes one column.
func columnOf(row string, columns []column, c int) value {
	if row[c/8]&(1<<(c%8)) != 0 {
		return value{null: true}
	}
	at := bitmapBytes(len(columns))
	for i := range c {
		if row[i/8]&(1<<(i%8)) != 0 {
			continue
		}
		switch columns[i].kind {
		case kindBool:
			at++
		case kindInt, kindFloat, kindTime:
			at += 8
		default:
			n, size := uvarint(row[at:])
			at += size + int(n)
		}
	}
	v, _ := field(row, at, columns[c].kind)
	return v
}
