package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
)

// IsRetraction reports whether an event has no data. Materialize writes one
// when a row it has sunk goes away; a consumer acknowledges it and does nothing.
func IsRetraction(e event.Event) bool { return len(e.Data()) == 0 }

// Decode reads and validates the payload of an event by its type. Every error
// is an *InvalidError; a type that is not of the house is one on "type".
func Decode(e event.Event) (Payload, error) {
	switch e.Type() {
	case TypePickedUp:
		return decoded[PickUp](DecodePickUp(e))
	case TypeDroppedOff:
		return decoded[DropOff](DecodeDropOff(e))
	case TypeFeatures:
		return decoded[Features](DecodeFeatures(e))
	case TypePrediction:
		return decoded[Prediction](DecodePrediction(e))
	case TypeLabel:
		return decoded[Label](DecodeLabel(e))
	case TypeLearned:
		return decoded[Learned](DecodeLearned(e))
	case TypeProposal:
		return decoded[Proposal](DecodeProposal(e))
	case TypeDecision:
		return decoded[Decision](DecodeDecision(e))
	case TypeKafka:
		return nil, invalid("type", "%s is whatever its topic carries: decode it as that", TypeKafka)
	}
	return nil, invalid("type", "%q is unknown", e.Type())
}

// decoded makes a Payload of what a decoder returns, and never a typed nil.
func decoded[T any, P interface {
	*T
	Payload
}](payload T, err error) (Payload, error) {
	if err != nil {
		return nil, err
	}
	return P(&payload), nil
}

// DecodePickUp reads and validates a pick-up. Every error is an *InvalidError.
func DecodePickUp(e event.Event) (PickUp, error) {
	var w struct {
		TripID           string   `json:"trip_id"`
		VendorID         int      `json:"vendor_id"`
		PickedUpAt       string   `json:"picked_up_at"`
		PassengerCount   *int     `json:"passenger_count"`
		PickupLongitude  *float64 `json:"pickup_longitude"`
		PickupLatitude   *float64 `json:"pickup_latitude"`
		DropoffLongitude *float64 `json:"dropoff_longitude"`
		DropoffLatitude  *float64 `json:"dropoff_latitude"`
	}
	if err := read(e, &w, e.Type() == TypePickedUp); err != nil {
		return PickUp{}, err
	}
	p := PickUp{TripID: w.TripID, VendorID: w.VendorID}
	var err error
	if p.PickedUpAt, err = parseTime("picked_up_at", w.PickedUpAt); err != nil {
		return PickUp{}, err
	}
	if w.PassengerCount == nil {
		return PickUp{}, missing("passenger_count")
	}
	p.PassengerCount = *w.PassengerCount
	for _, f := range []struct {
		name string
		from *float64
		to   *float64
	}{
		{"pickup_longitude", w.PickupLongitude, &p.PickupLongitude},
		{"pickup_latitude", w.PickupLatitude, &p.PickupLatitude},
		{"dropoff_longitude", w.DropoffLongitude, &p.DropoffLongitude},
		{"dropoff_latitude", w.DropoffLatitude, &p.DropoffLatitude},
	} {
		if f.from == nil {
			return PickUp{}, missing(f.name)
		}
		*f.to = *f.from
	}
	if err := p.Validate(); err != nil {
		return PickUp{}, err
	}
	return p, nil
}

// DecodeDropOff reads and validates a drop-off. Every error is an *InvalidError.
func DecodeDropOff(e event.Event) (DropOff, error) {
	var w struct {
		TripID       string `json:"trip_id"`
		DroppedOffAt string `json:"dropped_off_at"`
	}
	if err := read(e, &w, e.Type() == TypeDroppedOff); err != nil {
		return DropOff{}, err
	}
	at, err := parseTime("dropped_off_at", w.DroppedOffAt)
	if err != nil {
		return DropOff{}, err
	}
	d := DropOff{TripID: w.TripID, DroppedOffAt: at}
	if err := d.Validate(); err != nil {
		return DropOff{}, err
	}
	return d, nil
}

// DecodeFeatures reads and validates features, of TypeFeatures or TypeKafka. A
// null feature is left out of the map. Every error is an *InvalidError.
func DecodeFeatures(e event.Event) (Features, error) {
	var w struct {
		TripID     string              `json:"trip_id"`
		PickedUpAt string              `json:"picked_up_at"`
		Features   map[string]*float64 `json:"features"`
	}
	if err := read(e, &w, e.Type() == TypeFeatures || e.Type() == TypeKafka); err != nil {
		return Features{}, err
	}
	at, err := parseSinkTime("picked_up_at", w.PickedUpAt)
	if err != nil {
		return Features{}, err
	}
	features, err := present(w.Features)
	if err != nil {
		return Features{}, err
	}
	f := Features{TripID: w.TripID, PickedUpAt: at, Features: features}
	if err := f.Validate(); err != nil {
		return Features{}, err
	}
	return f, nil
}

// DecodePrediction reads and validates a prediction. Every error is an *InvalidError.
func DecodePrediction(e event.Event) (Prediction, error) {
	var w struct {
		TripID      string              `json:"trip_id"`
		Features    map[string]*float64 `json:"features"`
		Predictions map[string]*struct {
			DurationS *float64 `json:"duration_s"`
			Version   *uint64  `json:"version"`
		} `json:"predictions"`
		Champion string `json:"champion"`
	}
	if err := read(e, &w, e.Type() == TypePrediction); err != nil {
		return Prediction{}, err
	}
	features, err := present(w.Features)
	if err != nil {
		return Prediction{}, err
	}
	p := Prediction{
		TripID:      w.TripID,
		Features:    features,
		Predictions: make(map[string]ModelPrediction, len(w.Predictions)),
		Champion:    w.Champion,
	}
	for model, answer := range w.Predictions {
		switch {
		case answer == nil:
			return Prediction{}, missing("predictions." + model)
		case answer.DurationS == nil:
			return Prediction{}, missing("predictions." + model + ".duration_s")
		case answer.Version == nil:
			return Prediction{}, missing("predictions." + model + ".version")
		}
		p.Predictions[model] = ModelPrediction{DurationS: *answer.DurationS, Version: *answer.Version}
	}
	if err := p.Validate(); err != nil {
		return Prediction{}, err
	}
	return p, nil
}

// DecodeLabel reads and validates a label, of TypeLabel or TypeKafka. A null
// feature is left out of the map. Every error is an *InvalidError.
func DecodeLabel(e event.Event) (Label, error) {
	var w struct {
		TripID    string              `json:"trip_id"`
		Features  map[string]*float64 `json:"features"`
		DurationS *float64            `json:"duration_s"`
	}
	if err := read(e, &w, e.Type() == TypeLabel || e.Type() == TypeKafka); err != nil {
		return Label{}, err
	}
	features, err := present(w.Features)
	if err != nil {
		return Label{}, err
	}
	if w.DurationS == nil {
		return Label{}, missing("duration_s")
	}
	l := Label{TripID: w.TripID, Features: features, DurationS: *w.DurationS}
	if err := l.Validate(); err != nil {
		return Label{}, err
	}
	return l, nil
}

// DecodeLearned reads and validates what learn answers. Every error is an *InvalidError.
func DecodeLearned(e event.Event) (Learned, error) {
	var w struct {
		TripID    string             `json:"trip_id"`
		Versions  map[string]*uint64 `json:"versions"`
		Duplicate map[string]*bool   `json:"duplicate"`
	}
	if err := read(e, &w, e.Type() == TypeLearned); err != nil {
		return Learned{}, err
	}
	l := Learned{TripID: w.TripID}
	if w.Versions != nil {
		l.Versions = make(map[string]uint64, len(w.Versions))
	}
	for model, version := range w.Versions {
		if version == nil {
			return Learned{}, missing("versions." + model)
		}
		l.Versions[model] = *version
	}
	if len(w.Duplicate) > 0 {
		l.Duplicate = make(map[string]bool, len(w.Duplicate))
	}
	for model, duplicate := range w.Duplicate {
		if duplicate == nil {
			return Learned{}, missing("duplicate." + model)
		}
		l.Duplicate[model] = *duplicate
	}
	if err := l.Validate(); err != nil {
		return Learned{}, err
	}
	return l, nil
}

// read unmarshals an event's data into a wire struct, in which a pointer tells
// a missing field from a zero.
func read(e event.Event, w any, expected bool) error {
	if !expected {
		if e.Type() == "" {
			return missing("type")
		}
		return invalid("type", "%q was not expected here", e.Type())
	}
	data := e.Data()
	if len(data) == 0 {
		return missing("data")
	}
	if len(data) > MaxDataBytes {
		return tooLarge(len(data))
	}
	if err := json.Unmarshal(data, w); err != nil {
		return jsonError(data, err)
	}
	return nil
}

func tooLarge(size int) error {
	return invalid("data", "%d bytes are more than %d", size, MaxDataBytes)
}

// present is the features that have a value. The limit is on all of them, so
// that nulls are no way around it.
func present(features map[string]*float64) (map[string]float64, error) {
	if features == nil {
		return nil, nil // Validate says that it is missing
	}
	if len(features) > MaxFeatures {
		return nil, invalid("features", "%d are more than %d", len(features), MaxFeatures)
	}
	out := make(map[string]float64, len(features))
	for name, value := range features {
		if value == nil {
			if err := validName("features", name); err != nil {
				return nil, err
			}
			continue
		}
		out[name] = *value
	}
	return out, nil
}

func parseTime(field, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, missing(field)
	}
	var t time.Time
	if err := t.UnmarshalText([]byte(s)); err != nil { // stricter than time.Parse
		return time.Time{}, invalid(field, "%q is not an RFC 3339 time", s)
	}
	return t.UTC(), nil
}

// parseSinkTime also reads what Materialize's JSON sinks make of a timestamp
// column: a string of the time since the epoch. Its manual says milliseconds
// and shows seconds; between 2000 and 2100 the two ranges are far apart.
func parseSinkTime(field, s string) (time.Time, error) {
	if s == "" || strings.Trim(s, "0123456789.") != "" {
		return parseTime(field, s)
	}
	epoch, err := strconv.ParseFloat(s, 64)
	if err != nil || epoch > 1e14 {
		return time.Time{}, invalid(field, "%q is neither an RFC 3339 time nor one since 1970", s)
	}
	millis := epoch
	if epoch < 1e11 {
		millis = epoch * 1000
	}
	return time.UnixMicro(int64(math.Round(millis * 1000))).UTC(), nil
}

// jsonError says which field of the document json could not read, and where.
func jsonError(data []byte, err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		return invalid(fieldAt(data, wrongType.Offset), "%s at byte %d is no %s",
			wrongType.Value, wrongType.Offset, kindOf(wrongType.Type))
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return invalid(fieldAt(data, math.MaxInt64), "%v at byte %d", syntax, syntax.Offset)
	}
	return invalid("data", "%v", err)
}

func kindOf(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return kindOf(t.Elem())
	case reflect.Float64:
		return "finite number"
	case reflect.Int:
		return "integer"
	case reflect.Uint64:
		return "integer of 0 or more"
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	default:
		return "object"
	}
}

// fieldAt is the path of the value that ends at or after offset, or of the one
// that cannot be read. json names the struct's field but not the map's key,
// and nothing in a syntax error: this second look is taken on errors only.
func fieldAt(data []byte, offset int64) string {
	type container struct {
		object bool
		key    string
		inside bool // a key has been read and its value has not
	}
	var open []container
	path := func() string {
		var keys []string
		for _, c := range open {
			if c.inside {
				keys = append(keys, c.key)
			}
		}
		if len(keys) == 0 {
			return "data"
		}
		return strings.Join(keys, ".")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		token, err := decoder.Token()
		if err != nil {
			return path()
		}
		top := len(open) - 1
		if key, ok := token.(string); ok && top >= 0 && open[top].object && !open[top].inside {
			open[top].key, open[top].inside = key, true
			continue
		}
		delim, _ := token.(json.Delim)
		if delim == '}' || delim == ']' {
			open = open[:top]
			top--
		} else if decoder.InputOffset() >= offset {
			return path()
		} else if delim == '{' || delim == '[' {
			open = append(open, container{object: delim == '{'})
			continue
		}
		if top >= 0 {
			open[top].inside = false
		}
	}
}
