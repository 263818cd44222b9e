package replay

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"

	"tripcast.dev/events"
)

// DefaultTolerance is that of Rules without one.
const DefaultTolerance = 1e-9

// Rules say when two outcomes are equal.
type Rules struct {
	// Tolerance of the numbers in data, relative to the larger one; 0 means
	// DefaultTolerance. Numbers closer than a millionth of it are equal whatever
	// they are: 6e-17 is the cosine of a right angle.
	Tolerance float64
	// Unordered leaves out what depends on what was learned when: the numbers,
	// versions and champion of predictions.
	Unordered bool
}

// Difference is one between two outcomes.
type Difference struct {
	Topic, Key string
	What       string
}

func (d Difference) String() string { return d.Topic + " " + d.Key + ": " + d.What }

// identity is what makes events of two outcomes the same one.
type identity struct{ topic, key, source, id string }

func (e Event) identity() identity { return identity{e.Topic, e.Key(), e.Source(), e.ID()} }

// Compare lists the differences in the order of the outcomes. Events are the same
// by topic, key, source and id; of those that are the same four times, the first
// is compared with the first.
func Compare(want, got *Outcome, r Rules) []Difference {
	if r.Tolerance == 0 {
		r.Tolerance = DefaultTolerance
	}
	came := map[identity][]Event{}
	for _, e := range got.Events {
		came[e.identity()] = append(came[e.identity()], e)
	}
	var all []Difference
	seen := map[identity]int{}
	for _, e := range want.sorted() {
		id := e.identity()
		n := seen[id]
		seen[id]++
		if n >= len(came[id]) {
			all = append(all, e.differs(n, "is missing"))
			continue
		}
		for _, what := range r.differences(e, came[id][n]) {
			all = append(all, e.differs(n, what))
		}
	}
	counted := map[identity]int{}
	for _, e := range got.sorted() {
		id := e.identity()
		if counted[id]++; counted[id] > seen[id] {
			all = append(all, e.differs(counted[id]-1, "was not there"))
		}
	}
	slices.SortStableFunc(all, func(a, b Difference) int {
		return compareEvents(a.Topic, a.Key, b.Topic, b.Key)
	})
	return all
}

// differs tells of the n-th event, from 0, that is this one. What anybody would
// guess is not said.
func (e Event) differs(n int, what string) Difference {
	if e.ID() != e.Key() {
		what = fmt.Sprintf("%s of %s %s", e.ID(), e.Source(), what)
	}
	if n > 0 {
		what = fmt.Sprintf("number %d of it: %s", n+1, what)
	}
	return Difference{Topic: e.Topic, Key: e.Key(), What: what}
}

func (r Rules) differences(want, got Event) []string {
	var all []string
	differ := func(path, is, was string) { all = append(all, fmt.Sprintf("%s is %s, was %s", path, is, was)) }
	before, now := attributes(want), attributes(got)
	for _, name := range union(before, now) {
		if before[name] != now[name] {
			differ(name, quoted(name, now), quoted(name, before))
		}
	}
	was, jsonBefore := decode(want.Data())
	is, jsonNow := decode(got.Data())
	if !jsonBefore || !jsonNow {
		if !bytes.Equal(want.Data(), got.Data()) {
			differ("data", shown(got.Data()), shown(want.Data()))
		}
		return all
	}
	c := comparison{rules: r, differ: differ}
	if r.Unordered && want.Type() == events.TypePrediction {
		was, is = withoutAnswers(was), withoutAnswers(is)
	}
	c.values("data", was, is)
	return all
}

// attributes of an event by name. One that cannot be listed is what it says.
func attributes(e Event) map[string]string {
	list, err := events.Attributes(e.Event)
	if err != nil {
		return map[string]string{"attributes": err.Error()}
	}
	byName := make(map[string]string, len(list))
	for _, a := range list {
		byName[a.Name] = a.Value
	}
	return byName
}

func union[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	if all == nil {
		all = map[string]V{}
	}
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// quoted shows an attribute; what a function answered is shown as it answered it.
func quoted(name string, in map[string]string) string {
	value, ok := in[name]
	if !ok {
		return "missing"
	}
	if answer, err := base64.StdEncoding.DecodeString(value); name == errorData && err == nil {
		value = string(bytes.TrimSpace(answer))
	}
	return strconv.Quote(value)
}

// shown is the beginning of data.
func shown(data []byte) string {
	const most = 60
	switch {
	case len(data) == 0:
		return "missing"
	case len(data) <= most:
		return strconv.Quote(string(data))
	}
	end := most
	for end > 0 && !utf8.RuneStart(data[end]) {
		end--
	}
	return fmt.Sprintf("%q and %d bytes more", data[:end], len(data)-end)
}

// decode reads data that is one JSON value.
func decode(data []byte) (any, bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, false
	}
	_, err := decoder.Token()
	return value, err == io.EOF
}

// withoutAnswers keeps of a prediction which models answered.
func withoutAnswers(prediction any) any {
	members, ok := prediction.(map[string]any)
	if !ok {
		return prediction
	}
	kept := maps.Clone(members)
	delete(kept, "champion")
	if models, ok := kept["predictions"].(map[string]any); ok {
		answered := make(map[string]any, len(models))
		for model := range models {
			answered[model] = true
		}
		kept["predictions"] = answered
	}
	return kept
}

// comparison of two JSON values.
type comparison struct {
	rules  Rules
	differ func(path, is, was string)
}

func (c comparison) values(path string, was, is any) {
	switch before := was.(type) {
	case map[string]any:
		if now, ok := is.(map[string]any); ok {
			c.objects(path, before, now)
			return
		}
	case []any:
		if now, ok := is.([]any); ok && len(now) == len(before) {
			for i := range before {
				c.values(fmt.Sprintf("%s[%d]", path, i), before[i], now[i])
			}
			return
		}
	case json.Number:
		if now, ok := is.(json.Number); ok && c.rules.close(before, now) {
			return
		}
	default:
		if was == is { // neither is a map nor a slice, or they are not of one type
			return
		}
	}
	c.differ(path, written(is), written(was))
}

func (c comparison) objects(path string, was, is map[string]any) {
	for _, name := range union(was, is) {
		before, had := was[name]
		now, has := is[name]
		switch at := path + "." + name; {
		case !had:
			c.differ(at, written(now), "missing")
		case !has:
			c.differ(at, "missing", written(before))
		default:
			c.values(at, before, now)
		}
	}
}

// close compares numbers as every reader of JSON would read them.
func (r Rules) close(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, errX := a.Float64()
	y, errY := b.Float64()
	if errX != nil || errY != nil {
		return false // no float64 holds it: then it is the text that counts
	}
	apart := math.Abs(x - y)
	return apart <= r.Tolerance*max(math.Abs(x), math.Abs(y)) || apart <= r.Tolerance*1e-6
}

// written is a value as JSON, cut short.
func written(value any) string {
	encoded, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	const most = 200
	if len(encoded) > most {
		return string(bytes.ToValidUTF8(encoded[:most], nil)) + "…"
	}
	return string(encoded)
}
