package events_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tripcast.dev/events"
)

type asyncAPI struct {
	Version  string `yaml:"asyncapi"`
	Channels map[string]struct {
		Address  *string        `yaml:"address"`
		Messages map[string]ref `yaml:"messages"`
	} `yaml:"channels"`
	Components struct {
		Messages map[string]struct {
			Name    string `yaml:"name"`
			Headers struct {
				AllOf []struct {
					Properties map[string]struct {
						Const string `yaml:"const"`
					} `yaml:"properties"`
				} `yaml:"allOf"`
			} `yaml:"headers"`
			Payload struct {
				Schema ref `yaml:"schema"`
			} `yaml:"payload"`
		} `yaml:"messages"`
	} `yaml:"components"`
}

type ref struct {
	Ref string `yaml:"$ref"`
}

// The document lists the topics and types of the constants: all and no others,
// each type with its source and its schema, each topic with what is on it.
func TestAsyncAPI(t *testing.T) {
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc asyncAPI
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Version != "3.0.0" {
		t.Errorf("asyncapi is %q", doc.Version)
	}
	schemas := schemasByType(t)
	sources := make(map[string]string)
	for name, message := range doc.Components.Messages {
		properties := message.Headers.AllOf[len(message.Headers.AllOf)-1].Properties
		if got := properties["ce_type"].Const; got != message.Name {
			t.Errorf("message %s is named %s and its ce_type is %s", name, message.Name, got)
		}
		sources[message.Name] = properties["ce_source"].Const
		schema := schemas[message.Name]
		if schema == nil {
			t.Errorf("message %s has the type %s, which has no schema", name, message.Name)
			continue
		}
		if file := filepath.Base(strings.TrimSuffix(schema.Location, "#")); message.Payload.Schema.Ref != "schemas/"+file {
			t.Errorf("message %s has the schema %s, want %s", name, message.Payload.Schema.Ref, file)
		}
	}
	want := make(map[string]string)
	for _, p := range payloads() {
		want[p.Type()] = p.Source()
	}
	if !maps.Equal(sources, want) {
		t.Errorf("types and sources are %v, want %v", sources, want)
	}

	onTopic := make(map[string][]string)
	for _, channel := range doc.Channels {
		topic := "(none)"
		if channel.Address != nil {
			topic = *channel.Address
		}
		for _, message := range channel.Messages {
			name := strings.TrimPrefix(message.Ref, "#/components/messages/")
			onTopic[topic] = append(onTopic[topic], doc.Components.Messages[name].Name)
		}
		slices.Sort(onTopic[topic])
	}
	for topic, types := range map[string][]string{
		events.TopicPickUps:     {events.TypePickedUp},
		events.TopicDropOffs:    {events.TypeDroppedOff},
		events.TopicFeatures:    {events.TypeFeatures},
		events.TopicPredictions: {events.TypePrediction},
		events.TopicLabels:      {events.TypeLabel},
		events.TopicChampions:   {events.TypeProposal},
		events.TopicDeadLetters: {events.TypeFeatures, events.TypeLabel, events.TypeProposal},
		"(none)":                {events.TypeLearned, events.TypeDecision},
	} {
		if slices.Sort(types); !slices.Equal(onTopic[topic], types) {
			t.Errorf("%s carries %q, want %q", topic, onTopic[topic], types)
		}
		delete(onTopic, topic)
		if topic != "(none)" && !slices.Contains(events.Topics(), topic) {
			t.Errorf("Topics lacks %s", topic)
		}
	}
	if len(onTopic) > 0 {
		t.Errorf("topics that no constant names: %v", onTopic)
	}
	if n := len(events.Topics()); n != 7 {
		t.Errorf("%d topics", n)
	}
}

// Every $ref of the document leads somewhere.
func TestAsyncAPIReferences(t *testing.T) {
	text, err := os.ReadFile("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	found := 0
	var walk func(node any)
	walk = func(node any) {
		switch node := node.(type) {
		case map[string]any:
			if to, ok := node["$ref"].(string); ok {
				found++
				if !leads(doc, to) {
					t.Errorf("$ref %s leads nowhere", to)
				}
			}
			for _, child := range node {
				walk(child)
			}
		case []any:
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(doc)
	if found < 20 {
		t.Errorf("found only %d references", found)
	}
}

func leads(doc any, to string) bool {
	pointer, local := strings.CutPrefix(to, "#/")
	if !local {
		_, err := os.Stat(to)
		return err == nil
	}
	for _, name := range strings.Split(pointer, "/") {
		members, ok := doc.(map[string]any)
		if !ok {
			return false
		}
		if doc, ok = members[name]; !ok {
			return false
		}
	}
	return true
}
