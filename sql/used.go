package sql

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Used are those of the variables that a program of somebody's own uses. One that
// it uses and that is not there is an error that names the file, the line and what
// there is.
func Used(fsys fs.FS, variables map[string]string) (map[string]string, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("sql: listing files: %w", err)
	}
	used := map[string]string{}
	for _, file := range names { // in order
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("sql: reading %s: %w", file, err)
		}
		for _, at := range variable.FindAllSubmatchIndex(text, -1) {
			name := string(text[at[2]:at[3]])
			value, ok := variables[name]
			if !ok {
				return nil, fmt.Errorf("sql: %s:%d: there is no variable %q: there are %s", file,
					1+strings.Count(string(text[:at[0]]), "\n"), name, strings.Join(slices.Sorted(maps.Keys(variables)), ", "))
			}
			used[name] = value
		}
	}
	return used, nil
}
