package sql

import (
	"maps"
	"testing"
	"testing/fstest"
)

func TestUsed(t *testing.T) {
	all := map[string]string{"a": "1", "b": "2", "c": "3"}
	used, err := Used(fstest.MapFS{
		"1.sql":  {Data: []byte("SELECT '${a}', '${a}';")},
		"2.sql":  {Data: []byte("-- ${b}")},
		"2.text": {Data: []byte("${no}")},
	}, all)
	if err != nil || !maps.Equal(used, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("%v, %v", used, err)
	}
	_, err = Used(fstest.MapFS{"1.sql": {Data: []byte("SELECT 1;\n\nSELECT '${a}', '${d}'")}}, all)
	if want := `sql: 1.sql:3: there is no variable "d": there are a, b, c`; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
