package live

// The views, as they go to the browser as JSON. Times are milliseconds since
// 1970, 0 where there is none; errors are in seconds.

// Summary is what is going on right now.
type Summary struct {
	At       int64    `json:"at"`    // when this was put together
	Clock    int64    `json:"clock"` // the newest pick-up, by the city's clock
	Database Source   `json:"database"`
	Redis    Source   `json:"redis"`
	Kafka    Source   `json:"kafka"`
	Trips    Counts   `json:"trips"`
	Rates    Rates    `json:"rates"`
	Lag      Quantile `json:"lag"`     // pick-up to prediction, of the last minute's predictions
	LagAll   Quantile `json:"lag_all"` // of all that are kept, by prediction_lag
	// Staleness is for how long the champion had had a newer version when a
	// prediction was made without it, 0 for those with the newest, of the last
	// minute's.
	Staleness   Quantile `json:"staleness"`
	DeadLetters int64    `json:"dead_letters"`
}

// Source is where views come from, and whether it answers.
type Source struct {
	State string `json:"state"` // one of the states below, "" if nobody asks it
	Since int64  `json:"since"` // in this state
	Error string `json:"error,omitempty"`
	// Missing names the views that the database does not have: the SQL may be
	// somebody's own, and need not have all that the dashboard has a place for.
	Missing string `json:"missing,omitempty"`
}

// States of a source.
const (
	Connecting = "connecting" // has not answered yet
	Live       = "live"
	Away       = "away" // answered before
)

// Counts are of the trips that are kept.
type Counts struct {
	PickUps           int64 `json:"pick_ups"`
	Predictions       int64 `json:"predictions"`
	InProgress        int64 `json:"in_progress"`
	Completed         int64 `json:"completed"`
	Labels            int64 `json:"labels"`
	UnmatchedDropOffs int64 `json:"unmatched_drop_offs"`
}

// Rates are a second, over the last ten. What leaves the views because of its age
// is not taken from them.
type Rates struct {
	PickUps     float64 `json:"pick_ups"`
	Predictions float64 `json:"predictions"`
	Labels      float64 `json:"labels"`
}

// Quantile describes N measured times, in milliseconds.
type Quantile struct {
	N   int64   `json:"n"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

// Models is every model of the catalogue, in its order, and who leads.
type Models struct {
	Champion Leader  `json:"champion"` // since it was promoted, by the real clock
	Best     Leader  `json:"best"`     // since it has led, by the city's clock
	Models   []Model `json:"models"`
}

// Leader is a model and since when.
type Leader struct {
	Model string  `json:"model"`
	Since int64   `json:"since"`
	MAE   float64 `json:"mae_s"` // over the last hour of the city's clock that is full, 0 if not known
}

// Model is one model: how good it is, by SQL, and what it has learned, by Redis.
type Model struct {
	Name      string  `json:"name"`
	Champion  bool    `json:"champion"`
	Best      bool    `json:"best"`
	Trips     int64   `json:"trips"` // that it predicted and that have ended; 0: no errors yet
	MAE       float64 `json:"mae_s"`
	MAEChange float64 `json:"mae_change_s"` // over the last ten seconds
	RMSE      float64 `json:"rmse_s"`
	Bias      float64 `json:"bias_s"` // positive: it predicts too long

	Version       uint64 `json:"version"`        // commits, in Redis; never less than one that has predicted
	Labels        uint64 `json:"labels"`         // learned
	ServedVersion uint64 `json:"served_version"` // of the newest prediction
	CommittedAt   int64  `json:"committed_at"`
	StateBytes    int    `json:"state_bytes"`
	Broken        string `json:"broken,omitempty"`
}

// Errors is the mean absolute error over the city's clock, in at most 300 buckets
// of equal width. A bucket in which no trip has ended is left out; a model that
// has no trips in one has null there.
type Errors struct {
	WidthMS int64                 `json:"width_ms"`
	Buckets []int64               `json:"buckets"` // their starts, ascending
	Trips   []int64               `json:"trips"`   // ended in each
	Models  map[string][]*float64 `json:"models"`
}

// Segments is the mean absolute error by hour of the day and by distance.
type Segments struct {
	Hours     Segment `json:"hours"`     // 24
	Distances Segment `json:"distances"` // in kilometres
}

// Segment is the error of every model in each of some classes of trips.
type Segment struct {
	Labels []string              `json:"labels"` // "08", "2–5 km"
	Trips  []int64               `json:"trips"`
	Models map[string][]*float64 `json:"models"`
}

// Trips is what has started and ended since the last one.
type Trips struct {
	// Reset is set on the first for a visitor: it holds the newest trips that are
	// known, and what was shown before is to be forgotten.
	Reset   bool      `json:"reset,omitempty"`
	Started []Started `json:"started"`
	Ended   []Ended   `json:"ended"`
	// LeftOut is how many more there were than a page can use.
	LeftOut int `json:"left_out,omitempty"`
}

// Started is a trip that has been predicted. As JSON it is an array, of its
// fields in this order: there are many.
type Started struct {
	ID string
	PickUpLon, PickUpLat,
	DropOffLon, DropOffLat float64 // rounded to five decimals
	PickedUpAt int64   // by the city's clock
	PredictedS float64 // by the champion; rounded to a tenth, null if it had no answer
}

// Ended is a trip that is over. As JSON it is an array, too.
type Ended struct {
	ID                     string
	DropOffLon, DropOffLat float64
	PredictedS             float64 // null if the champion had no answer
	ActualS                float64
}
