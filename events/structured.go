package events

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
)

// IsStructured reports whether a content type says that the body is a whole
// event, or a batch of them, in whatever format.
func IsStructured(contentType string) bool {
	return len(contentType) >= len(structuredPrefix) && strings.EqualFold(contentType[:len(structuredPrefix)], structuredPrefix)
}

const structuredPrefix = "application/cloudevents"

func parseStructuredAs(contentType string, body []byte) (event.Event, error) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != event.ApplicationCloudEventsJSON {
		return event.Event{}, invalid("content-type", "%q is not %s", contentType, event.ApplicationCloudEventsJSON)
	}
	return ParseStructured(body)
}

// ParseStructured reads one event of the CloudEvents JSON format 1.0.2. It is
// stricter than the SDK's reader, which takes what follows the document and
// panics on some malformed data_base64. Every error is an *InvalidError.
func ParseStructured(body []byte) (event.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return event.Event{}, jsonError(body, err)
	}
	r := reader{context: &event.EventContextV1{}}
	for name, raw := range members {
		if name == "data" || name == "data_base64" || string(raw) == "null" {
			continue
		}
		if err := r.setJSON(name, raw); err != nil {
			return event.Event{}, err
		}
	}
	if err := r.complete(); err != nil {
		return event.Event{}, err
	}
	e := event.Event{Context: r.context}
	if err := setJSONData(&e, members["data"], members["data_base64"]); err != nil {
		return event.Event{}, err
	}
	return e, nil
}

// setJSON sets an attribute from a JSON string, and an extension also from a
// boolean or an integer.
func (r *reader) setJSON(name string, raw json.RawMessage) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return invalid(name, "%v", err)
	}
	switch value := value.(type) {
	case string:
		return r.set(name, value)
	case bool:
		if !isContext(name) {
			return r.extend(name, value)
		}
	case float64:
		integer, err := strconv.ParseInt(string(raw), 10, 32)
		if err == nil && !isContext(name) {
			return r.extend(name, int32(integer))
		}
	}
	return invalid(name, "%.40s is not a value that it can have", raw)
}

func isContext(name string) bool {
	switch name {
	case "specversion", "id", "source", "type":
		return true
	}
	return isOptional(name)
}

func setJSONData(e *event.Event, data, base64Data json.RawMessage) error {
	present := func(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }
	switch {
	case present(data) && present(base64Data):
		return invalid("data", "is given twice, as data and as data_base64")
	case present(base64Data):
		var text string
		if err := json.Unmarshal(base64Data, &text); err != nil {
			return invalid("data_base64", "%.40s is not a string", base64Data)
		}
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return invalid("data_base64", "%v", err)
		}
		e.DataEncoded, e.DataBase64 = decoded, true
	case present(data):
		e.DataEncoded = data
		if media := e.DataMediaType(); media != "" && !isJSON(media) {
			var text string
			if err := json.Unmarshal(data, &text); err != nil {
				return invalid("data", "%.40s is not a string, and %s is not JSON", data, media)
			}
			e.DataEncoded = []byte(text)
		}
	}
	return nil
}

func isJSON(media string) bool {
	return media == event.ApplicationJSON || media == event.TextJSON || strings.HasSuffix(media, "+json")
}
