// Package events owns what flows through tripcast: the CloudEvent types, their
// payloads, and how they travel (Kafka records in binary mode, HTTP, JSON).
//
// Everything else in the house speaks these types and nothing here knows who
// speaks them. Times are the clock of the city, written as UTC: a trip that
// starts at 08:30 in New York starts at 08:30:00Z, because hour-of-day and
// day-of-week are what the models look at.
package events

import "time"

// The topics, by what they carry.
const (
	TopicPickUps     = "pick_ups"
	TopicDropOffs    = "drop_offs"
	TopicFeatures    = "features"
	TopicPredictions = "predictions"
	TopicLabels      = "labels"
	TopicChampions   = "champions"
	TopicDeadLetters = "dead_letters"
)

// CloudEvent types. The version is part of the type: a payload that changes
// incompatibly gets a new type.
const (
	TypePickedUp   = "dev.tripcast.trip.picked-up.v1"
	TypeDroppedOff = "dev.tripcast.trip.dropped-off.v1"
	TypeFeatures   = "dev.tripcast.features.ready.v1"
	TypePrediction = "dev.tripcast.prediction.made.v1"
	TypeLabel      = "dev.tripcast.label.ready.v1"
	TypeLearned    = "dev.tripcast.label.learned.v1"
	TypeProposal   = "dev.tripcast.champion.proposed.v1"
	TypeDecision   = "dev.tripcast.champion.decided.v1"

	// TypeKafka is what a KafkaSource makes of a record without CloudEvent
	// headers, as Materialize writes them where sink headers are switched off.
	TypeKafka = "dev.knative.kafka.event"
)

// CloudEvent sources: one per kind of event, so that (source, id) is unique
// while every id is simply the trip's, or a model and a time where no trip is
// meant.
const (
	SourcePickUps     = "/tripcast/pick_ups"
	SourceDropOffs    = "/tripcast/drop_offs"
	SourceFeatures    = "/tripcast/features"
	SourcePredictions = "/tripcast/predictions"
	SourceLabels      = "/tripcast/labels"
	SourceLearn       = "/tripcast/learn"
	SourceChampions   = "/tripcast/champions"
	SourcePromote     = "/tripcast/promote"
)

// Topics returns the topics of the house in the order in which a trip, or
// what comes of many, meets them.
func Topics() []string {
	return []string{TopicPickUps, TopicFeatures, TopicPredictions, TopicDropOffs, TopicLabels, TopicChampions, TopicDeadLetters}
}

// PickUp is a trip as it is known at its start.
type PickUp struct {
	TripID           string    `json:"trip_id"`
	VendorID         int       `json:"vendor_id,omitempty"`
	PickedUpAt       time.Time `json:"picked_up_at"`
	PassengerCount   int       `json:"passenger_count"`
	PickupLongitude  float64   `json:"pickup_longitude"`
	PickupLatitude   float64   `json:"pickup_latitude"`
	DropoffLongitude float64   `json:"dropoff_longitude"`
	DropoffLatitude  float64   `json:"dropoff_latitude"`
}

// DropOff is the end of a trip.
type DropOff struct {
	TripID       string    `json:"trip_id"`
	DroppedOffAt time.Time `json:"dropped_off_at"`
}

// Features are what Materialize knows of a trip the moment it starts.
type Features struct {
	TripID     string             `json:"trip_id"`
	PickedUpAt time.Time          `json:"picked_up_at"`
	Features   map[string]float64 `json:"features"`
}

// ModelPrediction is one model's answer and the version that gave it.
type ModelPrediction struct {
	DurationS float64 `json:"duration_s"` // seconds, never negative
	Version   uint64  `json:"version"`    // commits the model had seen; 0 is a model that has learned nothing
}

// Prediction is what predict logs: the features it used and every model's answer.
type Prediction struct {
	TripID      string                     `json:"trip_id"`
	Features    map[string]float64         `json:"features"`
	Predictions map[string]ModelPrediction `json:"predictions"`
	Champion    string                     `json:"champion"`
}

// Label is a finished trip: the logged features and the truth.
type Label struct {
	TripID    string             `json:"trip_id"`
	Features  map[string]float64 `json:"features"`
	DurationS float64            `json:"duration_s"` // seconds, above 0 and at most MaxDurationS
}

// Learned is what learn answers to a label: every model and the version that
// has learned it. It travels as an HTTP response and is on no topic.
type Learned struct {
	TripID    string            `json:"trip_id"`
	Versions  map[string]uint64 `json:"versions"`
	Duplicate map[string]bool   `json:"duplicate,omitempty"` // models that had learned this trip before
}
