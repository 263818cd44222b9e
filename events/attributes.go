package events

import (
	"net/url"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"
)

// Attribute is a context attribute or an extension of an event in its canonical
// string form. In binary mode every transport carries a list of them beside the
// data: as ce_ headers in Kafka, as Ce- headers in HTTP.
type Attribute struct{ Name, Value string }

// contentTypeAttribute is the one that travels as content-type and not under a prefix.
const contentTypeAttribute = "datacontenttype"

// Attributes lists the context of an event: specversion, id, source and type,
// the optional attributes it has, its extensions by name, datacontenttype last.
// An event that lacks a required attribute, or has one that no header carries,
// is an *InvalidError.
func Attributes(e event.Event) ([]Attribute, error) {
	if e.Context == nil {
		return nil, missing("specversion")
	}
	c := e.Context.AsV1()
	out := make([]Attribute, 0, 8+len(c.Extensions))
	out = append(out,
		Attribute{"specversion", event.CloudEventsVersionV1},
		Attribute{"id", c.ID},
		Attribute{"source", c.Source.String()},
		Attribute{"type", c.Type})
	if c.Subject != nil {
		out = append(out, Attribute{"subject", *c.Subject})
	}
	if c.Time != nil {
		out = append(out, Attribute{"time", types.FormatTime(c.Time.Time)})
	}
	if c.DataSchema != nil {
		out = append(out, Attribute{"dataschema", c.DataSchema.String()})
	}
	for _, name := range extensionNames(c.Extensions) {
		value, err := types.Format(c.Extensions[name])
		if err != nil {
			return nil, invalid(name, "%v", err)
		}
		out = append(out, Attribute{name, value})
	}
	if c.DataContentType != nil {
		out = append(out, Attribute{contentTypeAttribute, *c.DataContentType})
	}
	for _, a := range out {
		if err := validAttribute(a.Name, a.Value); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// FromAttributes makes an event of its attributes, in any order, and its data,
// which it shares. An empty optional attribute counts as absent. Every error is
// an *InvalidError on the attribute.
func FromAttributes(attributes []Attribute, data []byte) (event.Event, error) {
	r := reader{context: &event.EventContextV1{}}
	for _, a := range attributes {
		if err := r.set(a.Name, a.Value); err != nil {
			return event.Event{}, err
		}
	}
	if err := r.complete(); err != nil {
		return event.Event{}, err
	}
	e := event.Event{Context: r.context}
	if len(data) > 0 {
		e.DataEncoded = data
	}
	return e, nil
}

// extensionNames is in order, so that the same event gives the same bytes.
func extensionNames(extensions map[string]any) []string {
	names := make([]string, 0, len(extensions))
	for name := range extensions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// reader gathers the context of an event, strictly.
type reader struct {
	context     *event.EventContextV1
	specVersion string
}

func (r *reader) set(name, value string) error {
	if value == "" && isOptional(name) {
		return nil
	}
	if err := validAttribute(name, value); err != nil {
		return err
	}
	c := r.context
	switch name {
	case "specversion":
		if value != event.CloudEventsVersionV1 {
			return invalid(name, "%q is not 1.0", value)
		}
		r.specVersion = value
	case "id":
		c.ID = value
	case "source":
		u, err := url.Parse(value)
		if err != nil {
			return invalid(name, "%q is not a URI reference", value)
		}
		c.Source = types.URIRef{URL: *u}
	case "type":
		c.Type = value
	case "subject":
		subject := value // &value would move every value to the heap
		c.Subject = &subject
	case "datacontenttype":
		contentType := value
		c.DataContentType = &contentType
	case "time":
		t, err := time.Parse(time.RFC3339Nano, value)
		if t = t.UTC(); err != nil || t.Year() < 0 || t.Year() > 9999 { // what can be written again
			return invalid(name, "%q is not an RFC 3339 time", value)
		}
		c.Time = &types.Timestamp{Time: t}
	case "dataschema":
		u, err := url.Parse(value)
		if err != nil {
			return invalid(name, "%q is not a URI", value)
		}
		c.DataSchema = &types.URI{URL: *u}
	case "data":
		return invalid(name, "is not an attribute")
	default:
		return r.extend(name, value)
	}
	return nil
}

func (r *reader) extend(name string, value any) error {
	if err := r.context.SetExtension(name, value); err != nil {
		return invalid(name, "%v", err)
	}
	return nil
}

// complete checks for the required attributes.
func (r *reader) complete() error {
	switch {
	case r.specVersion == "":
		return missing("specversion")
	case r.context.ID == "":
		return missing("id")
	case r.context.Source.String() == "":
		return missing("source")
	case r.context.Type == "":
		return missing("type")
	}
	return nil
}

func isOptional(name string) bool {
	switch name {
	case "subject", "time", "dataschema", "datacontenttype":
		return true
	}
	return false
}

// validAttribute refuses what CloudEvents 1.0.2 section 3.1 forbids in strings
// and no HTTP header would carry.
func validAttribute(name, value string) error {
	switch name {
	case "specversion", "id", "source", "type":
		if value == "" {
			return missing(name)
		}
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == 0x7f {
			return invalid(name, "%q has a control character", value)
		}
	}
	if !utf8.ValidString(value) {
		return invalid(name, "%q is not UTF-8", value)
	}
	return nil
}
