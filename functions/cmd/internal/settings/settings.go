// Package settings reads from the environment what commands are told there. A
// variable that is not set changes nothing.
package settings

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"tripcast.dev/functions/registry"
)

// Environment is where variables are looked up, such as os.Getenv: one that is not
// set is empty.
type Environment func(name string) string

// Duration reads a duration above 0.
func (e Environment) Duration(name string, to *time.Duration) error {
	text := e(name)
	if text == "" {
		return nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return fmt.Errorf("%s: %q is not a duration above 0, such as 250ms", name, text)
	}
	*to = d
	return nil
}

// Count reads a whole number above 0.
func (e Environment) Count(name string, to *int) error {
	text := e(name)
	if text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n <= 0 {
		return fmt.Errorf("%s: %q is not a whole number above 0", name, text)
	}
	*to = n
	return nil
}

// Commits reads what all who commit to a model have to agree on: ID_WINDOW,
// SNAPSHOT_EVERY, SNAPSHOT_COUNT, SNAPSHOT_AGE and LINEAGE_LENGTH.
func (e Environment) Commits(to *registry.CommitterOptions) error {
	return errors.Join(
		e.Count("ID_WINDOW", &to.Window), e.Duration("SNAPSHOT_EVERY", &to.SnapshotEvery), e.Count("SNAPSHOT_COUNT", &to.SnapshotCount),
		e.Duration("SNAPSHOT_AGE", &to.SnapshotAge), e.Count("LINEAGE_LENGTH", &to.LineageLength),
	)
}
