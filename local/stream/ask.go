package stream

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/jackc/pgx/v5/pgtype"
	wire "github.com/jeroenrinzema/psql-wire"

	tripsql "tripcast.dev/sql"
)

// understood is a query as it was understood: what DuckDB is asked, and what the
// client is told of it.
type understood struct {
	query      string
	columns    []column
	shown      wire.Columns
	parameters []uint32
}

// ask understands a query of a client.
func (t *text) ask(ctx context.Context, tokens []tripsql.Token) (*understood, error) {
	tokens, lists, err := fromClient(tokens, t.session.client.process, t.query.ParameterOIDs)
	if err != nil {
		return nil, err
	}
	tokens = numerics(tokens, t.query.ParameterOIDs)
	d, err := translate(tokens)
	if err != nil {
		return nil, err
	}
	u := &understood{query: d.text()}
	if u.columns, u.parameters, err = t.stream.query.types(ctx, u.query, tokens); err != nil {
		return nil, t.placed(err, d)
	}
	for _, n := range lists {
		if n <= len(u.parameters) {
			u.parameters[n-1] = pgtype.TextArrayOID
		}
	}
	for i, oid := range t.query.ParameterOIDs {
		if oid != 0 && oid != pgtype.UnknownOID && i < len(u.parameters) {
			u.parameters[i] = oid // the client encodes it so
		}
	}
	u.shown = wireColumns(u.columns)
	for i := range u.shown {
		u.shown[i].Name = columnName(u.shown[i].Name, tokens)
	}
	return u, nil
}

// placed says where in the client's text an error of DuckDB is.
func (t *text) placed(err error, d *dialect) error {
	return toldAt(err, func(offset int) (string, bool) {
		token, ok := d.origin(offset)
		if !ok || token.Pos >= len(t.query.Query) {
			return "", false
		}
		before := t.query.Query[:token.Pos]
		return fmt.Sprintf("line %d, column %d", token.Line, utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])+1), true
	})
}

var (
	callName = regexp.MustCompile(`^(?:main\.)?"?([a-z_][a-z_0-9]*)"?\(`)
	castName = regexp.MustCompile(`^CAST\((.*) AS [^()]+(?:\([^()]*\))?(?:\[\])?\)$`)
	bareName = regexp.MustCompile(`^"?[^"()' ]+"?$`)
)

// columnName is what Postgres and Materialize call a column that has no name of
// its own: like the function it calls, or the column it casts. DuckDB gives the
// expression. A name that the query itself gives is kept.
func columnName(name string, tokens []tripsql.Token) string {
	if slices.ContainsFunc(tokens, func(t tripsql.Token) bool { return t.Kind == tripsql.Quoted && t.Text == name }) {
		return name
	}
	if cast := castName.FindStringSubmatch(name); cast != nil {
		return columnName(cast[1], tokens)
	}
	if call := callName.FindStringSubmatch(name); call != nil {
		if call[1] == "count_star" {
			return "count"
		}
		return renamedBack(call[1])
	}
	if !bareName.MatchString(name) || name[0] >= '0' && name[0] <= '9' {
		return "?column?"
	}
	return strings.Trim(name, `"`)
}

// types says which columns a query returns and which types its parameters have.
func (q *queries) types(ctx context.Context, query string, tokens []tripsql.Token) ([]column, []uint32, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	parameters, err := q.parameters(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	if len(parameters) == 0 {
		columns, _, err := q.duck.describe(ctx, query)
		return columns, nil, err
	}
	// DESCRIBE takes no parameters: NULL has the type that the place asks for.
	without := slices.Clone(tokens)
	for i, t := range without {
		if t.Kind == tripsql.Param {
			without[i] = tripsql.Token{Kind: tripsql.Word, Text: "NULL", Raw: "NULL", Line: t.Line}
		}
	}
	text, err := duckSQL(without)
	if err != nil {
		return nil, nil, err
	}
	columns, _, err := q.duck.describe(ctx, text)
	return columns, parameters, err
}

func (q *queries) parameters(ctx context.Context, query string) ([]uint32, error) {
	var parameters []uint32
	err := q.duck.conn.Raw(func(c any) error {
		prepared, err := c.(driver.ConnPrepareContext).PrepareContext(ctx, query)
		if err != nil {
			return err
		}
		defer prepared.Close()
		statement, ok := prepared.(*duckdb.Stmt)
		if !ok {
			return fmt.Errorf("unexpected %T from DuckDB", prepared)
		}
		for n := 1; n <= statement.NumInput(); n++ {
			t, err := statement.ParamType(n)
			if err != nil {
				return err
			}
			parameters = append(parameters, parameterOID(t))
		}
		return nil
	})
	return parameters, err
}

func parameterOID(t duckdb.Type) uint32 {
	switch t {
	case duckdb.TYPE_BOOLEAN:
		return pgtype.BoolOID
	case duckdb.TYPE_TINYINT, duckdb.TYPE_SMALLINT, duckdb.TYPE_INTEGER, duckdb.TYPE_BIGINT, duckdb.TYPE_HUGEINT:
		return pgtype.Int8OID
	case duckdb.TYPE_FLOAT, duckdb.TYPE_DOUBLE:
		return pgtype.Float8OID
	case duckdb.TYPE_DECIMAL:
		return pgtype.NumericOID
	case duckdb.TYPE_TIMESTAMP, duckdb.TYPE_TIMESTAMP_TZ:
		return pgtype.TimestampOID
	case duckdb.TYPE_DATE:
		return pgtype.DateOID
	default:
		return pgtype.TextOID
	}
}

// argument reads a parameter's value as DuckDB takes it.
func argument(p wire.Parameter, oid uint32) (any, error) {
	if p.Value() == nil {
		return nil, nil
	}
	switch oid {
	case pgtype.JSONOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID:
		return string(p.Value()), nil
	case pgtype.JSONBOID:
		if p.Format() == wire.BinaryFormat && len(p.Value()) > 0 {
			return string(p.Value()[1:]), nil // after the version
		}
		return string(p.Value()), nil
	}
	v, err := p.Scan(oid)
	if err != nil && oid == pgtype.TimestampOID && p.Format() == wire.TextFormat {
		// As in Postgres, a zone where there is none is not looked at.
		if zoned, zonedErr := p.Scan(pgtype.TimestamptzOID); zonedErr == nil {
			v, err = zoned, nil
		}
	}
	if err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case int16:
		return int64(v), nil
	case int32:
		return int64(v), nil
	case uint32:
		return int64(v), nil
	case float32:
		return float64(v), nil
	case pgtype.Numeric:
		return decimal(v)
	case []any:
		list, err := json.Marshal(v)
		return string(list), err
	case time.Time:
		if oid == pgtype.TimestampOID {
			return time.Date(v.Year(), v.Month(), v.Day(), v.Hour(), v.Minute(), v.Second(), v.Nanosecond(), time.UTC), nil
		}
	}
	return v, nil
}

// decimal is a numeric with all its digits.
func decimal(n pgtype.Numeric) (any, error) {
	if n.NaN || n.InfinityModifier != pgtype.Finite {
		return nil, errors.New("NaN and infinity are no numeric here")
	}
	text, err := n.MarshalJSON()
	return string(text), err
}

// numerics casts the parameters that the client says are numerics: its value
// comes as text, which would be made an integer where one is compared with it.
func numerics(tokens []tripsql.Token, declared []uint32) []tripsql.Token {
	if !slices.Contains(declared, pgtype.NumericOID) {
		return tokens
	}
	var out []tripsql.Token
	for _, t := range tokens {
		out = append(out, t)
		if t.Kind != tripsql.Param {
			continue
		}
		if n, err := strconv.Atoi(t.Text[1:]); err == nil && n >= 1 && n <= len(declared) && declared[n-1] == pgtype.NumericOID {
			out = append(out, tripsql.Token{Kind: tripsql.Symbol, Text: "::", Raw: "::", Line: t.Line, Pos: t.Pos},
				tripsql.Token{Kind: tripsql.Word, Text: "numeric", Raw: "numeric", Line: t.Line, Pos: t.Pos})
		}
	}
	return out
}
