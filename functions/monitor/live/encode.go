package live

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// MarshalJSON makes an array of the fields, in their order.
func (s Started) MarshalJSON() ([]byte, error) {
	b, err := appendID(make([]byte, 0, 96), s.ID)
	if err != nil {
		return nil, err
	}
	for _, degrees := range [...]float64{s.PickUpLon, s.PickUpLat, s.DropOffLon, s.DropOffLat} {
		b = appendNumber(b, degrees, 5)
	}
	b = strconv.AppendInt(append(b, ','), s.PickedUpAt, 10)
	return append(appendNumber(b, s.PredictedS, 1), ']'), nil
}

// MarshalJSON makes an array of the fields, in their order.
func (e Ended) MarshalJSON() ([]byte, error) {
	b, err := appendID(make([]byte, 0, 64), e.ID)
	if err != nil {
		return nil, err
	}
	b = appendNumber(appendNumber(b, e.DropOffLon, 5), e.DropOffLat, 5)
	b = appendNumber(appendNumber(b, e.PredictedS, 1), e.ActualS, 1)
	return append(b, ']'), nil
}

func appendID(b []byte, id string) ([]byte, error) {
	text, err := json.Marshal(id)
	return append(append(b, '['), text...), err
}

// appendNumber appends a number after a comma, null for one that JSON cannot hold.
func appendNumber(b []byte, x float64, decimals int) []byte {
	b = append(b, ',')
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, rounded(x, decimals), 'f', -1, 64)
}

// encode makes JSON of a view. What is in it was made so that this cannot fail;
// if it does, that is better told on the page than not at all.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(map[string]string{"error": fmt.Sprintf("encoding: %v", err)})
	}
	return b
}
