package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"strconv"

	"github.com/cloudevents/sdk-go/v2/event"

	"tripcast.dev/events"
)

// TypeError is the type of the event that answers an event with an error.
const TypeError = "dev.tripcast.error.v1"

// Failure is what an event is answered with that a handler, or the reading of it,
// has failed on with this error: the status, which says whether to retry, and
// the error as JSON.
func Failure(err error) (status int, body []byte) {
	content := struct {
		Error string `json:"error"`
		Field string `json:"field,omitempty"`
	}{Error: err.Error()}
	var invalid *events.InvalidError
	if errors.As(err, &invalid) {
		content.Field = invalid.Field
	}
	status = statusOf(err)
	if body, err = json.Marshal(content); err != nil {
		body = []byte(`{"error":"serve: an error that JSON cannot say"}`)
	}
	return status, append(body, '\n')
}

// writeError answers with the status and the error. To an event, which id says
// it was, the answer is an event as well: what speaks CloudEvents, as func invoke
// does, shows the event of a response whatever its status, and without one
// shows nothing at all. To any other request id is empty.
func (s *Server) writeError(w http.ResponseWriter, id string, status int, err error) {
	_, body := Failure(err)
	setAttributes(w.Header(), s.errorAttributes(id, status))
	w.Header()["Content-Type"] = []string{event.ApplicationJSON}
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the source has gone and will redeliver
}

// errorAttributes are none where an event with this id cannot be written: it
// may be the very thing that is wrong.
func (s *Server) errorAttributes(id string, status int) []events.Attribute {
	e := event.New()
	e.SetType(TypeError)
	e.SetSource(path.Join("/tripcast", s.options.Name, "errors"))
	e.SetID(id)
	e.SetExtension("status", strconv.Itoa(status)) // func invoke does not show the response's own
	attributes, err := events.Attributes(e)
	if err != nil {
		return nil
	}
	return attributes
}

// eventID is empty for what is no event. e is what could be read of it.
func eventID(r *http.Request, e event.Event) string {
	if e.Context != nil {
		return e.ID()
	}
	return r.Header.Get("Ce-Id")
}
