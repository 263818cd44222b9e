package main

// mutation is a mistake that somebody could make: a text that occurs once in a
// file, and what stands there instead.
type mutation struct {
	name, file string
	old, new   string
}

// mutations are mistakes in Go. Those in SQL and in the catalogue are the tests'
// own: they need no build.
func mutations() []mutation {
	return []mutation{
		{
			name: "predict answers with less than no time",
			file: "functions/predict/predict.go",
			old:  "DurationS: max(seconds, 0)", new: "DurationS: seconds",
		},
		{
			name: "predict's champion is the first that answers",
			file: "functions/predict/predict.go",
			old:  `p.Champion == "" || m.Name == models.Champion`, new: `p.Champion == ""`,
		},
		{
			name: "predict answers a retraction",
			file: "functions/predict/predict.go",
			old:  "if events.IsRetraction(e) {", new: "if false {",
		},
		{
			name: "learn takes minutes for seconds",
			file: "functions/learn/learn.go",
			old:  "Y: label.DurationS", new: "Y: label.DurationS / 60",
		},
		{
			name: "a pipeline takes its features by name, not in its order",
			file: "functions/online/pipeline.go",
			old:  "for _, name := range p.features {\n\t\tv, ok", new: "for _, name := range slices.Sorted(slices.Values(p.features)) {\n\t\tv, ok",
		},
		{
			name: "learn teaches a label again that was learned before",
			file: "functions/registry/worker.go",
			old:  "case learned[i]:", new: "case false:",
		},
		{
			name: "a StandardScaler's variance is of one sample fewer",
			file: "functions/online/preprocess/scaler.go",
			old:  "-c.variance)/float64(n)\n", new: "-c.variance)/float64(max(n-1, 1))\n",
		},
		{
			name: "a KafkaSource does not look whether a record is an event",
			file: "local/eventing/message.go",
			old:  "} else if m.check() != nil {", new: "} else if false {",
		},
		{
			name: "a dead letter does not say why",
			file: "local/eventing/deliver.go",
			old:  "n > 0 {", new: "n > maxErrorData {",
		},
		{
			name: "a function acknowledges what it cannot read",
			file: "functions/serve/server.go",
			old:  "return http.StatusBadRequest", new: "return http.StatusNoContent",
		},
		{
			name: "a KafkaSink forgets the key",
			file: "local/eventing/message.go",
			old:  "r.Key = []byte(key)", new: "r.Key = nil",
		},
		{
			name: "a sum does not subtract what goes",
			file: "local/stream/sums.go",
			old:  "*sum += sign * n", new: "*sum += n",
		},
		{
			name: "a join looks for news of its first table only",
			file: "local/stream/keyed.go",
			old:  "for i := range v.inputs {", new: "for i := range v.inputs[:1] {",
		},
		{
			name: "a record's time is in milliseconds",
			file: "local/stream/record.go",
			old:  "intValue(r.Timestamp.UnixMicro())", new: "intValue(r.Timestamp.UnixMilli())",
		},
		{
			name: "what goes from a view is told to nobody",
			file: "local/stream/relation.go",
			old:  "d.removed = append(d.removed, row{partition, o})", new: "",
		},
	}
}
