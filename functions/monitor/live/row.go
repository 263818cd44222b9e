package live

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// row reads columns by name. The first that is missing, NULL or of another type
// is its error, and what is read is zero from there on.
type row struct {
	view    string
	types   *pgtype.Map
	columns []pgconn.FieldDescription
	values  [][]byte
	err     error
}

// eachRow calls do with every row of a result, and closes it.
func eachRow(conn *pgx.Conn, rows pgx.Rows, view string, do func(*row) error) error {
	defer rows.Close()
	r := &row{view: view, types: conn.TypeMap()}
	for rows.Next() {
		r.columns, r.values = rows.FieldDescriptions(), rows.RawValues()
		if err := do(r); err != nil {
			return err
		}
		if r.err != nil {
			return r.err
		}
	}
	return rows.Err()
}

// column reads one that is never NULL.
func column[T any](r *row, name string) T {
	v := nullable[T](r, name)
	if v == nil {
		var zero T
		r.fail(name, "is NULL")
		return zero
	}
	return *v
}

// orZero reads one where NULL means nothing to tell.
func orZero[T any](r *row, name string) T {
	var zero T
	if v := nullable[T](r, name); v != nil {
		return *v
	}
	return zero
}

func nullable[T any](r *row, name string) *T {
	if r.err != nil {
		return nil
	}
	for i, c := range r.columns {
		if c.Name != name {
			continue
		}
		if r.values[i] == nil {
			return nil
		}
		v := new(T)
		if err := r.types.Scan(c.DataTypeOID, c.Format, r.values[i], v); err != nil {
			r.fail(name, fmt.Sprintf("is not %s", kind(v)))
			return nil
		}
		return v
	}
	r.fail(name, "does not exist")
	return nil
}

func (r *row) fail(column, reason string) {
	if r.err == nil {
		r.err = &columnError{view: r.view, column: column, reason: reason}
	}
}

// kind is what a column is expected to be, in SQL's words.
func kind(v any) string {
	switch v.(type) {
	case *string:
		return "text"
	case *bool:
		return "a boolean"
	case *int64, *uint64:
		return "an integer"
	case *float64:
		return "a float"
	case *time.Time:
		return "a timestamp"
	default:
		return "jsonb of the form that is expected"
	}
}

// millis is a time as the browser takes it, 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
