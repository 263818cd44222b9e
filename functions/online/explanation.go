package online

import (
	"fmt"

	"tripcast.dev/functions/online/state"
)

// Explainer is a Regressor or a Transformer that can say what it has learned.
// All of the house can; one of yours may. See Explain.
type Explainer interface {
	// Explain describes the model. features are the names of what reaches it, as
	// many as it is wide. It follows from parameters and state alone, so that a
	// model that was decoded has the explanation of the one that was encoded, and
	// it changes nothing. As Predict does, it may run concurrently, but not while
	// the model learns.
	Explain(features []string) Explanation
}

// Explanation is what a model has learned, for people to read and for programs
// to compare. Package explain draws it. It is a copy, and its numbers are finite.
type Explanation struct {
	Kind string `json:"kind"` // as a catalogue names it
	// Unexplained is set where the kind is no Explainer: there are counts alone.
	Unexplained bool `json:"unexplained,omitempty"`
	// Parameters are those that hold, by the names that a catalogue has for them,
	// those that have their default among them.
	Parameters map[string]any     `json:"parameters,omitempty"`
	Counts     map[string]int     `json:"counts,omitempty"` // features, and what there is of other things
	Values     map[string]float64 `json:"values,omitempty"` // other numbers that it has learned
	// Intercept is the prediction where every feature is 0, in the label's unit,
	// of a linear model that has one.
	Intercept    *float64      `json:"intercept,omitempty"`
	Coefficients []Coefficient `json:"coefficients,omitempty"` // in the order of the features
	Scales       []Scale       `json:"scales,omitempty"`       // in the order of the features
	Tree         *Node         `json:"tree,omitempty"`
	Parts        []Part        `json:"parts,omitempty"` // of what it is made, in their order
}

// Coefficient is what a linear model makes of a feature.
type Coefficient struct {
	Feature string  `json:"feature"`
	Weight  float64 `json:"weight"` // in the label's unit per unit of the feature, as that reaches the model
	// Deviation is how sure the weight is, in its unit, where the model knows: the
	// standard deviation.
	Deviation *float64 `json:"deviation,omitempty"`
}

// Scale is what a transformer knows of the values of a feature.
type Scale struct {
	Feature   string  `json:"feature"`
	Samples   int     `json:"samples,omitempty"` // 0 where they were not learned, but given
	Mean      float64 `json:"mean"`              // what becomes 0, in the unit of the feature
	Deviation float64 `json:"deviation"`         // what becomes 1 more, in the same unit
}

// Node is a node of a tree: a leaf, or a branch with a Left and a Right. What is
// at most the threshold of a branch goes to the left.
type Node struct {
	Feature   string  `json:"feature,omitempty"`   // of a branch
	Threshold float64 `json:"threshold,omitempty"` // of a branch, in the unit of the feature
	Samples   float64 `json:"samples"`             // the weight of the labels learned here or below
	Mean      float64 `json:"mean"`                // of these labels, in their unit
	// Model is set for a leaf that predicts with a linear model of its own, at
	// present, and not with the mean.
	Model bool  `json:"model,omitempty"`
	Left  *Node `json:"left,omitempty"`
	Right *Node `json:"right,omitempty"`
	// Alternate is the tree that may take the place of a branch.
	Alternate *Node `json:"alternate,omitempty"`
}

// Leaf reports whether the node has nothing below it.
func (n *Node) Leaf() bool { return n.Left == nil || n.Right == nil }

// Part is a model or a transformer within another.
type Part struct {
	Role        string             `json:"role"`             // such as model or expert 2
	Values      map[string]float64 `json:"values,omitempty"` // what the whole knows of the part, such as its weight
	Explanation Explanation        `json:"explanation"`
}

// Explain describes a model or a transformer to which features of these names
// come. A Pipeline knows their names, and may be given none. Of what is no
// Explainer there are the kind and the size of the state.
func Explain(s State, features []string) Explanation {
	if e, ok := s.(Explainer); ok {
		return e.Explain(features)
	}
	e := Explanation{Unexplained: true, Counts: map[string]int{}}
	switch s := s.(type) {
	case Regressor:
		e.Counts["features"] = s.Width()
	case Transformer:
		in, out := s.Width()
		e.Counts["features"], e.Counts["features_out"] = in, out
	}
	encoded, err := s.AppendBinary(nil)
	if err == nil {
		e.Counts["state_bytes"] = len(encoded)
	}
	if e.Kind = state.Kind(encoded); e.Kind == "" {
		e.Kind = fmt.Sprintf("%T", s)
	}
	return e
}

// Explain describes the transformers and the model, each with the names of the
// features that reach it. The pipeline's are its own, and none need be given.
func (p *Pipeline) Explain([]string) Explanation {
	e := Explanation{
		Kind:       pipelineKind,
		Parameters: map[string]any{"features": p.Features()},
		Counts:     map[string]int{"features": len(p.features), "transformers": len(p.transformers)},
	}
	names := p.Features()
	for i, t := range p.transformers {
		e.Parts = append(e.Parts, Part{Role: fmt.Sprintf("transformer %d", i+1), Explanation: Explain(t, names)})
		names = namesAfter(t, names)
	}
	e.Parts = append(e.Parts, Part{Role: "model", Explanation: Explain(p.model, names)})
	return e
}
