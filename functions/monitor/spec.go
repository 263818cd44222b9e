package monitor

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"tripcast.dev/functions/online"
)

// described is what a page says of a model as data.
type described struct {
	kind       string // such as "BaggingRegressor of HoeffdingTreeRegressor"
	parameters string // YAML of its entry in the catalogue, without what is the default
}

// describe returns nothing for the spec that is none.
func describe(spec online.Spec) described {
	if spec.Name == "" {
		return described{}
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return described{}
	}
	var entry yaml.Node // JSON is YAML, and a node keeps its order
	if err := yaml.Unmarshal(data, &entry); err != nil {
		return described{}
	}
	inBlocks(&entry)
	parameters, err := yaml.Marshal(&entry)
	if err != nil {
		return described{}
	}
	var parsed struct{ Model map[string]any }
	if err := json.Unmarshal(data, &parsed); err != nil {
		return described{}
	}
	return described{kindOf(parsed.Model), string(parameters)}
}

// inBlocks writes a document as people do, lists of plain values in one line.
func inBlocks(node *yaml.Node) {
	plain := node.Kind == yaml.SequenceNode
	for _, child := range node.Content {
		inBlocks(child)
		plain = plain && child.Kind == yaml.ScalarNode
	}
	node.Style = 0
	if plain {
		node.Style = yaml.FlowStyle
	}
}

// kindOf names a model's kind and that of what it is made of.
func kindOf(model map[string]any) string {
	for kind, value := range model { // there is one
		parameters, _ := value.(map[string]any)
		inner, _ := parameters["model"].(map[string]any)
		if of := kindOf(inner); of != "" {
			return kind + " of " + of
		}
		return kind
	}
	return ""
}
