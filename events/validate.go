package events

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// What Validate holds payloads to.
const (
	MaxIDLength       = 128     // characters of a trip id
	MaxNameLength     = 128     // characters of a feature's or a model's name
	MaxFeatures       = 512     // features of one trip
	MaxModels         = 512     // models that answer for one trip
	MaxPassengerCount = 9       // as many as the largest licensed taxi reports
	MaxDurationS      = 86_400  // seconds; a longer trip is a meter left running
	MaxDataBytes      = 1 << 20 // bytes of an event's data
)

// Times outside [minTime, maxTime) are clocks gone wrong, not trips.
var (
	minTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// InvalidError is input that no retry will make good. Field is the JSON path of
// the offending value, or the CloudEvent attribute, or "data" for the whole.
type InvalidError struct {
	Field  string
	Reason string
}

func (e *InvalidError) Error() string { return "events: " + e.Field + ": " + e.Reason }

func invalid(field, format string, args ...any) error {
	return &InvalidError{Field: field, Reason: fmt.Sprintf(format, args...)}
}

func missing(field string) error { return &InvalidError{Field: field, Reason: "is missing"} }

// Validate reports the first field that no pick-up can have, as an *InvalidError.
func (p *PickUp) Validate() error {
	if err := validID(p.TripID); err != nil {
		return err
	}
	if err := validTime("picked_up_at", p.PickedUpAt); err != nil {
		return err
	}
	if p.PassengerCount < 0 || p.PassengerCount > MaxPassengerCount {
		return invalid("passenger_count", "%d is not between 0 and %d", p.PassengerCount, MaxPassengerCount)
	}
	if err := validDegrees("pickup_longitude", p.PickupLongitude, 180); err != nil {
		return err
	}
	if err := validDegrees("pickup_latitude", p.PickupLatitude, 90); err != nil {
		return err
	}
	if err := validDegrees("dropoff_longitude", p.DropoffLongitude, 180); err != nil {
		return err
	}
	return validDegrees("dropoff_latitude", p.DropoffLatitude, 90)
}

// Validate reports the first field that no drop-off can have, as an *InvalidError.
func (d *DropOff) Validate() error {
	if err := validID(d.TripID); err != nil {
		return err
	}
	return validTime("dropped_off_at", d.DroppedOffAt)
}

// Validate reports the first field that no features can have, as an
// *InvalidError. No feature at all is valid, a nil map is not.
func (f *Features) Validate() error {
	if err := validID(f.TripID); err != nil {
		return err
	}
	if err := validTime("picked_up_at", f.PickedUpAt); err != nil {
		return err
	}
	return validFeatures(f.Features)
}

// Validate reports the first field that no prediction can have, as an
// *InvalidError: at least one model answers, and the champion is one of them.
func (p *Prediction) Validate() error {
	if err := validID(p.TripID); err != nil {
		return err
	}
	if err := validFeatures(p.Features); err != nil {
		return err
	}
	if len(p.Predictions) == 0 {
		return missing("predictions")
	}
	if len(p.Predictions) > MaxModels {
		return invalid("predictions", "%d are more than %d", len(p.Predictions), MaxModels)
	}
	for model, answer := range p.Predictions {
		if err := validName("predictions", model); err != nil {
			return err
		}
		if s := answer.DurationS; !(s >= 0) || math.IsInf(s, 0) {
			return invalid("predictions."+model+".duration_s", "%v is not a duration in seconds", s)
		}
	}
	if p.Champion == "" {
		return missing("champion")
	}
	if _, ok := p.Predictions[p.Champion]; !ok {
		return invalid("champion", "%q is not among the predictions", p.Champion)
	}
	return nil
}

// Validate reports the first field that no label can have, as an *InvalidError.
func (l *Label) Validate() error {
	if err := validID(l.TripID); err != nil {
		return err
	}
	if err := validFeatures(l.Features); err != nil {
		return err
	}
	if s := l.DurationS; !(s > 0 && s <= MaxDurationS) {
		return invalid("duration_s", "%v is not above 0 and at most %d", s, MaxDurationS)
	}
	return nil
}

// Validate reports the first field that no answer of learn can have, as an *InvalidError.
func (l *Learned) Validate() error {
	if err := validID(l.TripID); err != nil {
		return err
	}
	if l.Versions == nil {
		return missing("versions")
	}
	if len(l.Versions) > MaxModels {
		return invalid("versions", "%d are more than %d", len(l.Versions), MaxModels)
	}
	for model := range l.Versions {
		if err := validName("versions", model); err != nil {
			return err
		}
	}
	for model := range l.Duplicate {
		if _, ok := l.Versions[model]; !ok {
			return invalid("duplicate", "%q is not among the versions", model)
		}
	}
	return nil
}

// validID holds a trip id to what every transport carries unchanged: it is a
// Kafka key and an HTTP header, where spaces are trimmed and quotes, percent
// signs and anything beyond ASCII are escaped by some and not by others.
func validID(id string) error { return validToken("trip_id", id) }

func validToken(field, id string) error {
	if id == "" {
		return missing(field)
	}
	if len(id) > MaxIDLength {
		return invalid(field, "%d bytes are more than %d", len(id), MaxIDLength)
	}
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			return invalid(field, "%s has a character that an HTTP header cannot carry unescaped", strconv.QuoteToASCII(id))
		}
	}
	return nil
}

func validTime(field string, t time.Time) error {
	if t.IsZero() {
		return missing(field)
	}
	if t.Before(minTime) || !t.Before(maxTime) {
		return invalid(field, "%s is not between 2000 and 2100", t.UTC().Format(time.RFC3339))
	}
	return nil
}

func validDegrees(field string, degrees, limit float64) error {
	if !(degrees >= -limit && degrees <= limit) { // also NaN
		return invalid(field, "%v is not between -%v and %v", degrees, limit, limit)
	}
	return nil
}

func validFeatures(features map[string]float64) error {
	if features == nil {
		return missing("features")
	}
	if len(features) > MaxFeatures {
		return invalid("features", "%d are more than %d", len(features), MaxFeatures)
	}
	for name, value := range features {
		if err := validName("features", name); err != nil {
			return err
		}
		if math.IsNaN(value) || math.IsInf(value, 0) {
			return invalid("features."+name, "%v is not a finite number", value)
		}
	}
	return nil
}

func validName(field, name string) error {
	if name == "" {
		return invalid(field, "has an empty name")
	}
	if !utf8.ValidString(name) {
		return invalid(field, "has the name %q, which is not UTF-8", name)
	}
	if n := utf8.RuneCountInString(name); n > MaxNameLength {
		return invalid(field, "has a name of %d characters, more than %d", n, MaxNameLength)
	}
	return nil
}
