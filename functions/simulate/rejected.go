package simulate

import (
	"fmt"
	"slices"
	"strings"
)

// Reason says why a row is not a trip.
type Reason string

// The reasons a row can be rejected for.
const (
	ReasonMalformed   Reason = "malformed row"     // wrong number of fields, a stray quote
	ReasonID          Reason = "bad id"            // empty, too long, or not fit for a header
	ReasonDuplicateID Reason = "duplicate id"      // an earlier row was accepted with this id
	ReasonTime        Reason = "bad time"          // in neither layout, or not of this century
	ReasonNumber      Reason = "bad number"        // does not parse
	ReasonCoordinates Reason = "bad coordinates"   // off the globe, NaN, or 0,0
	ReasonPassengers  Reason = "bad passengers"    // not 0 to events.MaxPassengerCount
	ReasonNoDuration  Reason = "no duration"       // ends when or before it starts
	ReasonTooLong     Reason = "duration too long" // more than events.MaxDurationS
)

// maxExamples bounds how many rejected rows are told one by one.
const maxExamples = 10

// Rejection is one row that is not a trip.
type Rejection struct {
	Line   int // 1 is the header
	Reason Reason
	Detail string
}

func (r Rejection) String() string {
	return fmt.Sprintf("line %d: %s: %s", r.Line, r.Reason, r.Detail)
}

// Rejected reports the rows of a file that are not trips: how many, why, and
// the first few with their lines.
type Rejected struct {
	Total    int
	ByReason map[Reason]int
	Examples []Rejection // the first 10, in file order
}

func (r *Rejected) add(line int, reason Reason, detail string) {
	if r.ByReason == nil {
		r.ByReason = make(map[Reason]int)
	}
	r.Total++
	r.ByReason[reason]++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, Rejection{Line: line, Reason: reason, Detail: detail})
	}
}

// String is one line for people: the total and the reasons, most frequent first.
func (r Rejected) String() string {
	if r.Total == 0 {
		return "no rows rejected"
	}
	reasons := make([]Reason, 0, len(r.ByReason))
	for reason := range r.ByReason {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b Reason) int {
		if d := r.ByReason[b] - r.ByReason[a]; d != 0 {
			return d
		}
		return strings.Compare(string(a), string(b))
	})
	parts := make([]string, len(reasons))
	for i, reason := range reasons {
		parts[i] = fmt.Sprintf("%d %s", r.ByReason[reason], reason)
	}
	return fmt.Sprintf("%d rows rejected (%s); first: %s", r.Total, strings.Join(parts, ", "), r.Examples[0])
}
