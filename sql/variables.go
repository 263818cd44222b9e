package sql

import (
	"fmt"
	"io/fs"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The variables of the embedded program.
const (
	VariableBroker            = "kafka_broker"
	VariableTripRetention     = "trip_retention"
	VariableFeaturesRetention = "features_retention"
	VariableGrace             = "grace"
	VariableBestMargin        = "best_margin"
	VariableJudgedEvery       = "judged_every"
)

// Defaults are the variables of the embedded program and what they are unless
// said otherwise.
//
//   - kafka_broker: bootstrap address as Materialize sees it.
//   - trip_retention: how long after its arrival a trip, or a prediction that
//     waits for its label, is kept. It has to outlast the longest trip (a day), and
//     yesterday's trips of an hour have to outlast the features of today's that
//     they are in: 25 hours and features_retention at least, or trips that leave
//     change features that are written.
//   - features_retention: how long after its arrival a pick-up may still be
//     turned into features.
//   - grace: by how much of event time the topics may be apart. At N times real
//     time, a delay of a second between two topics is N seconds of event time.
//   - best_margin: what part of the least error a model may be behind the best and
//     still contend with it.
//   - judged_every: a champion is proposed from the trips that end in the first
//     five minutes of each so long: 5, 10, 15, 20, 30 or 60 minutes. Of 5 it is all.
func Defaults() map[string]string {
	return map[string]string{
		VariableBroker:            "redpanda:9092",
		VariableTripRetention:     "27 hours",
		VariableFeaturesRetention: "1 hour",
		VariableGrace:             "5 minutes",
		VariableBestMargin:        "0.05",
		VariableJudgedEvery:       "30 minutes",
	}
}

// Variables are what the files want: as given, and what is not given by default.
// What is given is checked before anything is run: no file may know the variable,
// or the value may be none for it. Variables that the embedded program does not
// have may be anything.
func Variables(fsys fs.FS, defaults, given map[string]string) (map[string]string, error) {
	used, err := used(fsys)
	if err != nil {
		return nil, err
	}
	variables := map[string]string{}
	for name, value := range defaults {
		if used[name] {
			variables[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		value := given[name]
		if !used[name] {
			return nil, fmt.Errorf("no file has a variable %s: %s", name, known(used))
		}
		if err := checkVariable(name, value); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		variables[name] = value
	}
	return variables, nil
}

func known(used map[string]bool) string {
	if len(used) == 0 {
		return "they have none"
	}
	return "there are " + strings.Join(slices.Sorted(maps.Keys(used)), ", ")
}

// used are the variables of the files.
func used(fsys fs.FS) (map[string]bool, error) {
	names, err := fs.Glob(fsys, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("sql: listing files: %w", err)
	}
	all := map[string]bool{}
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("sql: reading %s: %w", name, err)
		}
		for _, match := range variable.FindAllSubmatch(text, -1) {
			all[string(match[1])] = true
		}
	}
	return all, nil
}

func checkVariable(name, value string) error {
	switch name {
	case VariableBroker:
		return checkBroker(value)
	case VariableTripRetention, VariableFeaturesRetention, VariableGrace:
		return checkInterval(value)
	case VariableJudgedEvery:
		return checkJudgedEvery(value)
	case VariableBestMargin:
		if part, err := strconv.ParseFloat(value, 64); err != nil || !(part >= 0 && part < 10) {
			return fmt.Errorf("%q is no part of an error, such as 0.05", value)
		}
	}
	return nil
}

func checkBroker(value string) error {
	host, port, err := net.SplitHostPort(value)
	if err == nil && host != "" {
		var n uint64
		if n, err = strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return nil
		}
	}
	return fmt.Errorf("%q is not host:port, such as redpanda:9092", value)
}

// checkJudgedEvery wants every hour to have as many judged buckets as any other.
func checkJudgedEvery(value string) error {
	text, ok := strings.CutSuffix(value, " minutes")
	if n, err := strconv.Atoi(text); !ok || err != nil || n < 5 || n%5 != 0 || 60%n != 0 {
		return fmt.Errorf("%q is none of 5, 10, 15, 20, 30 and 60 minutes, such as '30 minutes'", value)
	}
	return nil
}

// An interval as the program needs it: amounts of time, and a clock's hours,
// minutes and seconds.
var (
	intervalWords = regexp.MustCompile(`^(?i:(?:[0-9]+(?:\.[0-9]+)? *(?:seconds?|minutes?|hours?|days?|months?|years?)(?: +|$))*(?:[0-9]+:[0-5][0-9](?::[0-5][0-9])?)?)$`)
	notZero       = regexp.MustCompile(`[1-9]`)
)

func checkInterval(value string) error {
	trimmed := strings.TrimSpace(value)
	if !intervalWords.MatchString(trimmed) || !notZero.MatchString(trimmed) {
		return fmt.Errorf("%q is no interval above 0, such as 25 hours, 1 day 12 hours or 01:30:00", value)
	}
	return nil
}
