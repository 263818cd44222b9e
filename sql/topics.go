package sql

import "slices"

// SourceTopics are the topics that the sources of a program read, each once, in
// order.
func SourceTopics(statements []Statement) []string { return topicsOf(statements, "SOURCE") }

// SinkTopics are the topics that the sinks of a program write, each once, in order.
func SinkTopics(statements []Statement) []string { return topicsOf(statements, "SINK") }

func topicsOf(statements []Statement, kind string) []string {
	var topics []string
	for _, s := range statements {
		if len(s.Tokens) < 2 || !s.Tokens[0].Is("CREATE") || !s.Tokens[1].Is(kind) {
			continue
		}
		for i, t := range s.Tokens[:len(s.Tokens)-1] {
			value := s.Tokens[i+1]
			if value.Is("=") && i+2 < len(s.Tokens) {
				value = s.Tokens[i+2]
			}
			if t.Is("TOPIC") && value.Kind == String {
				topics = append(topics, value.Text)
			}
		}
	}
	slices.Sort(topics)
	return slices.Compact(topics)
}
