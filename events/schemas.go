package events

import (
	"embed"
	"io/fs"
)

//go:embed schemas/*.json
var schemas embed.FS

// Schemas returns the JSON Schemas (draft 2020-12) of the payloads: pick_up.json,
// drop_off.json, features.json, prediction.json, label.json, learned.json,
// proposal.json and decision.json.
// The title of each is the CloudEvent type that it describes. What a schema
// cannot say (a time within a day of the bounds, a champion that is among the
// predictions) only Validate checks.
func Schemas() fs.FS {
	sub, err := fs.Sub(schemas, "schemas")
	if err != nil {
		return schemas // only an invalid path fails, and "schemas" is none
	}
	return sub
}
