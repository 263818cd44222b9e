package serve

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// The HTTP protocol binding of CloudEvents 1.0.2, on the attributes of events.
// The SDK's own reader does not name the attribute it stumbles on, and panics
// on some structured bodies; a test holds this one to read and write as it does.

const headerPrefix = "Ce-"

// refusedError is a request whose status says more than 400.
type refusedError struct {
	status int
	err    error
}

func (r *refusedError) Error() string { return r.err.Error() }
func (r *refusedError) Unwrap() error { return r.err }

// readEvent reads a request in binary or in structured mode. Its errors wrap an
// *events.InvalidError, except those of the connection.
func readEvent(r *http.Request) (event.Event, error) {
	contentType := r.Header.Get("Content-Type")
	structured := events.IsStructured(contentType)
	if structured {
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != event.ApplicationCloudEventsJSON {
			return event.Event{}, &refusedError{http.StatusUnsupportedMediaType, &events.InvalidError{
				Field:  "content-type",
				Reason: fmt.Sprintf("%q is not read: one event at a time, in binary mode or as %s", contentType, event.ApplicationCloudEventsJSON),
			}}
		}
	} else if r.Header.Get("Ce-Specversion") == "" {
		return event.Event{}, &events.InvalidError{
			Field:  "specversion",
			Reason: "is missing: the request is no CloudEvent, it has neither a ce-specversion header nor the content type " + event.ApplicationCloudEventsJSON,
		}
	}
	body, err := readBody(r)
	if err != nil {
		return event.Event{}, err
	}
	if structured {
		return events.ParseStructured(body)
	}
	attributes := make([]events.Attribute, 0, 12)
	for key, values := range r.Header {
		if name, ok := attributeName(key); ok && len(values) > 0 {
			attributes = append(attributes, events.Attribute{Name: name, Value: values[0]})
		}
	}
	return events.FromAttributes(attributes, body)
}

func readBody(r *http.Request) ([]byte, error) {
	tooLarge := &refusedError{http.StatusRequestEntityTooLarge, &events.InvalidError{
		Field: "data", Reason: fmt.Sprintf("is more than %d bytes", events.MaxDataBytes),
	}}
	if r.ContentLength > events.MaxDataBytes {
		return nil, tooLarge
	}
	if r.ContentLength >= 0 {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return nil, fmt.Errorf("serve: read the request: %w", err)
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, events.MaxDataBytes+1))
	if err != nil {
		return nil, fmt.Errorf("serve: read the request: %w", err)
	}
	if len(body) > events.MaxDataBytes {
		return nil, tooLarge
	}
	return body, nil
}

// setAttributes writes the attributes of an event in binary mode.
func setAttributes(h http.Header, attributes []events.Attribute) {
	values := make([]string, len(attributes)) // one allocation for all
	for i, a := range attributes {
		values[i] = a.Value
		h[headerName(a.Name)] = values[i : i+1 : i+1]
	}
}

// headerName is the canonical header of an attribute, without allocating for
// those that every event has.
func headerName(attribute string) string {
	switch attribute {
	case "specversion":
		return "Ce-Specversion"
	case "id":
		return "Ce-Id"
	case "source":
		return "Ce-Source"
	case "type":
		return "Ce-Type"
	case "subject":
		return "Ce-Subject"
	case "time":
		return "Ce-Time"
	case "partitionkey":
		return "Ce-Partitionkey"
	case "datacontenttype":
		return "Content-Type"
	}
	return textproto.CanonicalMIMEHeaderKey(headerPrefix + attribute)
}

// attributeName is the reverse of headerName, and false for other headers.
func attributeName(header string) (string, bool) {
	switch header {
	case "Ce-Specversion":
		return "specversion", true
	case "Ce-Id":
		return "id", true
	case "Ce-Source":
		return "source", true
	case "Ce-Type":
		return "type", true
	case "Ce-Subject":
		return "subject", true
	case "Ce-Time":
		return "time", true
	case "Ce-Partitionkey":
		return "partitionkey", true
	case "Content-Type":
		return "datacontenttype", true
	case "Ce-Datacontenttype":
		return "", false // Content-Type says it in binary mode
	}
	name, ok := strings.CutPrefix(header, headerPrefix)
	return strings.ToLower(name), ok
}
